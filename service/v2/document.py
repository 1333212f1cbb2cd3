"""The JSON of a request. A long list of numbers is cut out of it and parsed piece by piece, others passing in between.

The cut changes nothing else: it is made behind a key "data", between brackets with no bracket, brace or quote between
them, and every piece must be a JSON list by itself, or all is parsed anew in one go.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import orjson

from service.errors import BadRequest
from service.tensors import pack

PIECE_BYTES = 64 * 1024
KEY = b'"data"'
CUT = secrets.token_hex(16)  # stands in the JSON where the numbers were: nobody can send it by chance or by intent


class Document:
    """One parsed request.

    Attributes:
        json: the object.
    """

    def __init__(self, text: bytes, json: dict[str, Any], numbers: bytes = b"") -> None:
        self.json = json
        self._text = text
        self._numbers = numbers

    def has_no_booleans(self) -> bool:
        return b"true" not in self._text and b"false" not in self._text

    def was_cut_from(self, tensor: dict[str, Any]) -> bool:
        """Whether the numbers that were cut out are this tensor's data."""
        return tensor.get("data") == CUT

    async def packed_numbers(self) -> bytes:
        """The numbers that were cut out, a byte each. Raises BadRequest."""
        packed, at, first, text = [], 0, 0, self._numbers
        plain = b"e" not in text  # neither true nor false
        while at <= len(text):
            end = text.find(b",", at + PIECE_BYTES)
            end = len(text) if end < 0 else end
            try:
                numbers = orjson.loads(b"[%b]" % text[at:end])
            except orjson.JSONDecodeError:
                numbers = []
            if not numbers:  # the whole is no JSON either, and says where
                return pack(_loads(self._text)["inputs"][0]["data"])
            packed.append(pack(numbers, plain, first))
            at, first = end + 1, first + len(numbers)
            await asyncio.sleep(0)
        return b"".join(packed)


def parse(text: bytes) -> Document:
    """Raises BadRequest where it is not a JSON object."""
    rest, numbers = _cut(text) if len(text) > PIECE_BYTES else (text, b"")
    document = Document(text, _loads(rest), numbers)
    if numbers and not _is_data(document.json.get("inputs")):
        return Document(text, _loads(text))  # it was no tensor's data
    return document


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """The JSON without the numbers, and the numbers; none where there is no such list."""
    key = text.find(KEY)
    start = text.find(b"[", key)
    end = text.find(b"]", start)
    if min(key, start, end) < 1 or text[key + len(KEY) : start].strip() != b":":
        return text, b""
    numbers = text[start + 1 : end]
    if len(numbers) < PIECE_BYTES or any(other in numbers for other in (b"[", b"{", b'"')):
        return text, b""
    return b'%b"%b"%b' % (text[:start], CUT.encode(), text[end + 1 :]), numbers


def _is_data(inputs: object) -> bool:
    """Whether the placeholder is the data of the only input; what has several is refused anyway."""
    return (
        isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict) and inputs[0].get("data") == CUT
    )


def _loads(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest('The JSON must be an object: {"inputs": [...]}.')
    return document
