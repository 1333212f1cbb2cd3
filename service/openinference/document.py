"""The JSON of a request. Long data, flat or nested, are cut out of it and parsed piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from service.digits import Pixels
from service.errors import BadRequest
from service.inputs.json_chunks import PIECE_BYTES, PLACEHOLDER, ChunkedList, loads
from service.openinference import tensors

KEY = b'"data"'


class Document:
    """One parsed request.

    Attributes:
        json: the object.
    """

    def __init__(self, text: bytes, json: dict[str, Any], cut: ChunkedList | None = None) -> None:
        self.json = json
        self._text = text
        self._cut = cut

    def was_cut_from(self, tensor: dict[str, Any]) -> bool:
        """Whether the data that were cut out are this tensor's."""
        return tensor.get("data") == PLACEHOLDER

    async def pixels(self, tensor: dict[str, Any], shape: Sequence[int]) -> Pixels:
        """The data of `pixels`, of a shape that is checked already. Raises BadRequest."""
        if self._cut is None:
            plain = b"true" not in self._text and b"false" not in self._text
            return tensors.pixels_from_numbers(tensor["data"], shape, plain)
        packed, count = [], 0
        plain = self._text.find(b"e", self._cut.start, self._cut.end) < 0  # neither true nor false
        for place in self._cut.chunks():
            rows = self._cut.elements(*place)
            if not rows:
                return tensors.pixels_from_numbers(_loads(self._text)["inputs"][0]["data"], shape)
            numbers = tensors.flat(rows, shape)
            packed.append(tensors.pack(numbers, plain, count))
            count += len(numbers)
            await asyncio.sleep(0)
        return tensors.pixels_from_packed(b"".join(packed), shape)


def parse(text: bytes) -> Document:
    """Raises BadRequest where it is not a JSON object."""
    cut = _long_data(text) if len(text) > PIECE_BYTES else None
    if cut:
        with suppress(BadRequest):  # it may go on behind a text, or be no tensor's data
            document = Document(text, _loads(cut.rest()), cut)
            if _is_data(document.json.get("inputs")):
                return document
    return Document(text, _loads(text))


def _long_data(text: bytes) -> ChunkedList | None:
    """The list behind the first key "data", if it is long, and has neither text nor objects in it."""
    key = text.find(KEY)
    start = text.find(b"[", key)
    ends = [at for at in (text.find(other, start) for other in (b'"', b"{", b"}")) if at >= 0]
    end = text.rfind(b"]", start, min(ends, default=0))
    if min(key, start, end) < 1 or end - start < PIECE_BYTES or text[key + len(KEY) : start].strip() != b":":
        return None
    return ChunkedList(text, start + 1, end)


def _is_data(inputs: object) -> bool:
    """Whether PLACEHOLDER is the data of the only input; what has several is refused anyway."""
    return (
        isinstance(inputs, list)
        and len(inputs) == 1
        and isinstance(inputs[0], dict)
        and inputs[0].get("data") == PLACEHOLDER
    )


def _loads(text: bytes) -> dict[str, Any]:
    document = loads(text)
    if not isinstance(document, dict):
        raise BadRequest('The JSON must be an object: {"inputs": [...]}.')
    return document
