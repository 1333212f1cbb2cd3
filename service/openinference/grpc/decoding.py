"""A message's bytes -> the message: a large one after a look at how much there is in it, and in parts.

protobuf parses in one go, and makes of two bytes an object of a hundred: 16 MB of empty inputs would stop all else for
seconds. What is large here is one run of bytes or numbers among few fields, so these are counted first, and the numbers
parsed in parts: of parts of a message, merged one by one, comes the same as of the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from service.errors import BadRequest
from service.openinference.grpc.messages import Message

SMALL_BYTES = 64 * 1024
MOST_FIELDS = 10_000
PART_BYTES = 512 * 1024
LONG_NUMBERS = "uint_contents"  # pixels, if they are not raw
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}  # wire types, and bytes
UNREADABLE = "The message cannot be parsed; is it of the protocol's package inference?"


class UndecodedMessage:
    """A message as it came; what is large of it is held once only.

    Args:
        kind: its class.
        data: its bytes.
    """

    def __init__(self, kind: Any, data: bytes) -> None:
        self._kind = kind
        self._data = data

    async def open(self) -> Message:
        """Parse it; once. Raises BadRequest."""
        data, self._data = self._data, b""
        try:
            if len(data) <= SMALL_BYTES:
                return self._kind.FromString(data)
            message, view = self._kind(), memoryview(data)
            _check(view, message.DESCRIPTOR)
            for _ in _merge(message, view):
                await asyncio.sleep(0)
            return message
        except DecodeError:
            raise BadRequest(UNREADABLE) from None


class Field(NamedTuple):
    """Where one field lies: from its tag at `start`, with its content from `body` to `end`."""

    number: int
    has_length: bool
    start: int
    body: int
    end: int


def _fields(data: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        size = FIXED.get(tag & 7, 0)
        if tag & 7 == LENGTH:
            size, at = _varint(data, at)
        elif tag & 7 == VARINT:
            size = _varint(data, at)[1] - at
        elif not size:
            raise BadRequest(UNREADABLE)
        if at + size > len(data):
            raise BadRequest(UNREADABLE)
        yield Field(tag >> 3, tag & 7 == LENGTH, start, at, at + size)
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for i, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number, at + i + 1
    raise BadRequest(UNREADABLE)


def _check(data: memoryview, descriptor: Any) -> None:
    for count, _ in enumerate(_walk(data, descriptor), 1):
        if count > MOST_FIELDS:
            raise BadRequest(f"The message has over {MOST_FIELDS:,} fields; of one request there are a dozen.")


def _walk(data: memoryview, descriptor: Any) -> Iterator[None]:
    """Something for each field, and for those in it."""
    for field in _fields(data):
        yield
        known = descriptor.fields_by_number.get(field.number)
        if known is None or not field.has_length:
            continue
        if known.message_type:
            yield from _walk(data[field.body : field.end], known.message_type)
        elif _is_long_numbers(field, known) and known.name != LONG_NUMBERS:
            raise BadRequest(f"The message has thousands of numbers in {known.name}; send pixels in {LONG_NUMBERS}.")


def _merge(message: Message, data: memoryview) -> Iterator[None]:
    """Take the bytes up, in some milliseconds' work at a time."""
    done = 0
    for field in _fields(data):
        known = message.DESCRIPTOR.fields_by_number.get(field.number)
        if known is None or field.end - field.body <= SMALL_BYTES:
            continue
        if known.message_type and not known.message_type.GetOptions().map_entry:
            message.MergeFromString(data[done : field.start])
            inner = getattr(message, known.name)
            yield from _merge(inner.add() if hasattr(inner, "add") else inner, data[field.body : field.end])
            done = field.end
        elif _is_long_numbers(field, known):
            message.MergeFromString(data[done : field.start])
            for part in _parts(data[field.body : field.end]):
                message.MergeFromString(_encoded(known.number << 3 | LENGTH) + _encoded(len(part)) + part)
                yield
            done = field.end
    message.MergeFromString(data[done:])
    yield


def _is_long_numbers(field: Field, known: Any) -> bool:
    is_text = known.cpp_type == known.CPPTYPE_STRING  # or bytes
    return field.end - field.body > SMALL_BYTES and not known.message_type and not is_text


def _parts(numbers: memoryview) -> Iterator[bytes]:
    at = 0
    while at < len(numbers):
        end = min(at + PART_BYTES, len(numbers))
        if numbers[end - 1] >= 0x80:  # within a number
            _, end = _varint(numbers, end)
        yield bytes(numbers[at:end])
        at = end


def _encoded(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])
