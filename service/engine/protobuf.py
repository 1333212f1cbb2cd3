"""A bounded reader of protobuf's wire format: bytes to a tree of plain dicts, by a table of the fields that are known.

It exists because an ONNX file must be judged before ONNX Runtime sees it, and it is stricter than any protobuf library:
an unknown field, a wrong wire type or a single field given twice (which libraries merge) is an error, so that two
parsers cannot read the same bytes as two different models. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

MAX_FIELDS = 100_000  # of one file, over all messages: reading them takes at most about half a second
MAX_TEXT_BYTES = 2**20
REFUSED = "refused"
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

Message = dict[str, list[Any]]


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: key in the parsed message.
        kind: int32, int64, uint64, float, text (UTF-8), bytes, the name of another message; varints, floats or
            doubles for the elements of a large array, which are counted and not kept; or REFUSED, and then `name` is
            the clause that says why.
        repeated: whether it may stand more than once.
    """

    name: str
    kind: str
    repeated: bool = False


Schema = Mapping[str, Mapping[int, Field]]
WIRE_TYPES = {
    **dict.fromkeys(("int32", "int64", "uint64", "varints"), VARINT),
    **dict.fromkeys(("float", "floats"), FIXED32),
    "doubles": FIXED64,
}  # everything else is LENGTH
COUNTED = ("varints", "floats", "doubles")


class MalformedMessage(Exception):
    """The bytes are not such a message, or exceed a limit; the text is a clause that ends a sentence."""


def parse(schema: Schema, name: str, data: bytes, max_depth: int) -> Message:
    """Read a message.

    Args:
        schema: fields of each message, by number.
        name: message to read.
        data: its bytes.
        max_depth: most messages inside one another.

    Returns:
        Field name to the values found, always a list; texts as str, bytes as memoryview, messages as dicts. Fields
        that are absent have no key.

    Raises:
        MalformedMessage: see the class.
    """
    return _Reader(schema, data, max_depth).message(name, 0, len(data), 0)


class _Reader:
    def __init__(self, schema: Schema, data: bytes, max_depth: int) -> None:
        self._schema = schema
        self._data = memoryview(data)
        self._max_depth = max_depth
        self._fields = 0

    def message(self, name: str, at: int, end: int, depth: int) -> Message:
        if depth > self._max_depth:
            raise MalformedMessage(f"it nests more than {self._max_depth} messages")
        known, found = self._schema[name], Message()
        while at < end:
            key, at = self._varint(at, end)
            field = known.get(key >> 3)
            if field is None:
                raise MalformedMessage(f"its {name} has a field {key >> 3}, which is not known here")
            if field.kind == REFUSED:
                raise MalformedMessage(field.name)
            self._count()
            values = found.setdefault(field.name, [])
            if values and not field.repeated:
                raise MalformedMessage(f"the {field.name} of its {name} stands there twice")
            at = self._value(field, key & 7, at, end, depth, values)
        return found

    def _value(self, field: Field, wire_type: int, at: int, end: int, depth: int, values: list[Any]) -> int:
        """Append what stands at `at` to `values`, and return where it ends."""
        wanted = WIRE_TYPES.get(field.kind, LENGTH)
        if wire_type == LENGTH:
            length, at = self._varint(at, end)
            stop = at + length
            if stop > end:
                raise MalformedMessage("it is cut off")
            if wanted == LENGTH:
                values.append(self._delimited(field, at, stop, depth))
            elif field.repeated:
                self._packed(field, wanted, at, stop, values)
            else:
                raise MalformedMessage(f"its {field.name} has the wrong type")
            return stop
        if wire_type != wanted:
            raise MalformedMessage(f"its {field.name} has the wrong type")
        return self._scalar(field, wanted, at, end, values)

    def _delimited(self, field: Field, at: int, stop: int, depth: int) -> Any:
        if field.kind == "bytes":
            return self._data[at:stop]
        if field.kind != "text":
            return self.message(field.kind, at, stop, depth + 1)
        if stop - at > MAX_TEXT_BYTES:
            raise MalformedMessage(f"its {field.name} is longer than {MAX_TEXT_BYTES:,} bytes")
        try:
            return str(self._data[at:stop], "utf-8")
        except UnicodeDecodeError:
            raise MalformedMessage(f"its {field.name} is not UTF-8") from None

    def _packed(self, field: Field, wire_type: int, at: int, stop: int, values: list[Any]) -> None:
        """Many numbers in one field."""
        if field.kind not in COUNTED:
            while at < stop:
                self._count()
                at = self._scalar(field, wire_type, at, stop, values)
        elif wire_type == VARINT:  # every number ends with the one byte that has no continuation bit
            values.append(int(np.count_nonzero(np.frombuffer(self._data[at:stop], np.uint8) < 0x80)))
        else:
            values.append((stop - at) // FIXED_BYTES[wire_type])

    def _scalar(self, field: Field, wire_type: int, at: int, end: int, values: list[Any]) -> int:
        if wire_type == VARINT:
            number, at = self._varint(at, end)
            values.append(1 if field.kind in COUNTED else _as_signed(field, number))
            return at
        stop = at + FIXED_BYTES[wire_type]
        if stop > end:
            raise MalformedMessage("it is cut off")
        values.append(1 if field.kind in COUNTED else struct.unpack_from("<f", self._data, at)[0])
        return stop

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        number = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise MalformedMessage("it is cut off")
            byte = self._data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
        raise MalformedMessage("it has a number of more than ten bytes")

    def _count(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise MalformedMessage(f"it has more than {MAX_FIELDS:,} fields")


def _as_signed(field: Field, number: int) -> int:
    """Two's complement, 64 bits. What a 32-bit field would cut off is an error: libraries cut it."""
    if number >= 2**64:
        raise MalformedMessage(f"its {field.name} does not fit into 64 bits")
    if field.kind == "uint64":
        return number
    signed = number - 2**64 if number >= 2**63 else number
    if field.kind == "int32" and not -(2**31) <= signed < 2**31:
        raise MalformedMessage(f"its {field.name} does not fit into 32 bits")
    return signed
