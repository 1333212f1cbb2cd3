"""The JSON of a request. Long data, flat or nested, are parsed in chunks, apart from the rest of the document."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from service.concurrency import BIG_BYTES
from service.digits import Pixels
from service.errors import BadRequest
from service.inputs.json_chunks import MOST_BLANKS, PIECE_BYTES, PLACEHOLDER, ChunkedList, loads
from service.openinference import tensors

KEY = b'"data"'


class Document:
    """One parsed request.

    Attributes:
        json: the JSON object; PLACEHOLDER stands for data that are parsed in chunks.
    """

    def __init__(self, text: bytes, json: dict[str, Any], chunked: ChunkedList | None = None) -> None:
        self.json = json
        self._text = text
        self._chunked = chunked

    async def pixels(self, tensor: dict[str, Any], shape: Sequence[int]) -> Pixels:
        """The data of the tensor `pixels`, uint8 (n, 28, 28). `shape` is validated already. Raises BadRequest."""
        if self._chunked is None:
            small = len(self._text) <= BIG_BYTES
            plain = small and b"true" not in self._text and b"false" not in self._text
            return tensors.pixels_from_numbers(tensor["data"], shape, plain)
        packed, count = [], 0
        plain = self._text.find(b"e", self._chunked.start, self._chunked.end) < 0  # neither true nor false
        for place in self._chunked.chunks():
            rows = self._chunked.elements(*place)
            if not rows:
                return tensors.pixels_from_numbers(_loads(self._text)["inputs"][0]["data"], shape)
            numbers = tensors.flat(rows, shape)
            packed.append(tensors.pack(numbers, plain, count))
            count += len(numbers)
            await asyncio.sleep(0)
        return tensors.pixels_from_packed(b"".join(packed), shape)


def parse(text: bytes) -> Document:
    """Parse a JSON object. Raises BadRequest."""
    chunked = _long_data(text) if len(text) > PIECE_BYTES else None
    if chunked:
        with suppress(BadRequest):  # the list may be part of a string, or not the data of a tensor
            document = Document(text, _loads(chunked.rest()), chunked)
            if _is_data(document.json.get("inputs")):
                return document
    return Document(text, _loads(text))


def _long_data(text: bytes) -> ChunkedList | None:
    """The list after the first key "data", if it is long and holds neither strings nor objects."""
    key = text.find(KEY, 0, PIECE_BYTES)
    start = text.find(b"[", key)
    ends = [at for at in (text.find(other, start) for other in (b'"', b"{", b"}")) if at >= 0]
    end = text.rfind(b"]", start, min(ends, default=0))
    if min(key, start, end) < 1 or end - start < PIECE_BYTES or start - key > MOST_BLANKS:
        return None
    if text[key + len(KEY) : start].strip() != b":":
        return None
    return ChunkedList(text, start + 1, end)


def _is_data(inputs: object) -> bool:
    """Whether PLACEHOLDER is the data of the only input. Requests with several inputs are rejected later."""
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
