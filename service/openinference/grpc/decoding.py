"""Decodes protobuf messages. For large ones it counts the fields first, and then decodes in parts.

protobuf decodes a message in one call, and can turn 2 bytes into an object of 100: 16 MB of empty inputs would block
the event loop for seconds. A legitimate large message is one run of bytes or numbers and few other fields. So messages
with too many fields are rejected, and long runs of numbers are merged part by part, which gives the same message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from service.errors import BadRequest
from service.openinference.grpc.messages import Message

SMALL_BYTES = 64 * 1024
MAX_FIELDS = 10_000
MAX_TEXT_BYTES = 2**20  # names and ids; pictures are bytes
FIELDS_AT_A_TIME = 500
PART_BYTES = 512 * 1024
LONG_NUMBERS = "uint_contents"  # the field of pixels that are not in raw_input_contents
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}  # wire types; FIXED: wire type -> size in bytes
UNREADABLE = "The message cannot be decoded; it must be a message of the package inference of this protocol."


class UndecodedMessage:
    """The bytes of a received message, which `open` decodes and releases.

    Args:
        kind: class of the message.
        data: its encoding.
    """

    def __init__(self, kind: Any, data: bytes) -> None:
        self._kind = kind
        self._data = data

    @property
    def size(self) -> int:
        """Bytes that wait to be decoded."""
        return len(self._data)

    async def open(self) -> Message:
        """Decode the message; may be called once. Raises BadRequest."""
        data, self._data = self._data, b""
        try:
            if len(data) <= SMALL_BYTES:
                return self._kind.FromString(data)
            message, view = self._kind(), memoryview(data)
            await _check(view, message.DESCRIPTOR)
            for _ in _merge(message, view):
                await asyncio.sleep(0)
            return message
        except DecodeError:
            raise BadRequest(UNREADABLE) from None


class Field(NamedTuple):
    """Position of a field: its tag is at `start`, its content from `body` to `end`."""

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
    """Decode a varint at `at`: the number, and the position after it."""
    number = 0
    for i, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number, at + i + 1
    raise BadRequest(UNREADABLE)


async def _check(data: memoryview, descriptor: Any) -> None:
    for count, _ in enumerate(_walk(data, descriptor), 1):
        if count % FIELDS_AT_A_TIME == 0:
            await asyncio.sleep(0)
        if count > MAX_FIELDS:
            raise BadRequest(f"The message has more than {MAX_FIELDS:,} fields; a request has about a dozen.")


def _walk(data: memoryview, descriptor: Any) -> Iterator[None]:
    """Yield once per field, nested ones included."""
    for field in _fields(data):
        yield
        known = descriptor.fields_by_number.get(field.number)
        if known is None or not field.has_length:
            continue
        if known.message_type:
            yield from _walk(data[field.body : field.end], known.message_type)
        elif known.type == known.TYPE_STRING and field.end - field.body > MAX_TEXT_BYTES:
            raise BadRequest(f"The text in {known.name} has more than {MAX_TEXT_BYTES:,} bytes.")
        elif _is_long_numbers(field, known) and known.name != LONG_NUMBERS:
            raise BadRequest(f"The message has a long list of numbers in {known.name}; send pixels in {LONG_NUMBERS}.")


def _merge(message: Message, data: memoryview) -> Iterator[None]:
    """Merge `data` into the message; yield after each part that takes some milliseconds."""
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
        if numbers[end - 1] >= 0x80:  # in the middle of a number
            _, end = _varint(numbers, end)
        yield bytes(numbers[at:end])
        at = end


def _encoded(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])
