"""`{"instances": [digit, ...]}` -> digits; a digit is 28 rows of 28 numbers, or 784 numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from service.digits import SIDE, SIZE, Pixels
from service.errors import InvalidValue
from service.inputs.json_chunks import MOST_BLANKS, PIECE_BYTES, SPACE, ChunkedList, loads
from service.inputs.json_fast import digits_of_list, digits_of_object
from service.inputs.pixels import ROW_LENGTHS, WHAT_A_DIGIT_IS, check_count, rounded

FIELDS = ("instances",)
SLICE = 32  # digits; more than the 28 rows of one that was not put into a list
ROW_TYPES = {list}
START = re.compile(rb'_\{_"instances"_:_\[(?=_\[)'.replace(b"_", SPACE))
END = re.compile(rb"\]_\}_\Z".replace(b"_", SPACE))
KINDS = {bool: "true or false", str: "text", type(None): "null", list: "a list, not a number: leave the last axis out"}
ADVICE = f'Send {{"instances": [digit, ...]}}: {WHAT_A_DIGIT_IS}.'


def from_json(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """`{"instances": [digit, ...]}`; a digit is 28 rows of 28 numbers, or 784 numbers. Fractions are rounded.

    Raises:
        BadRequest: not JSON.
        InvalidValue: an unknown field, or something that is not a digit; `field` is its path.
        PayloadTooLarge: more than `max_instances` digits.
    """
    if len(body) > PIECE_BYTES and (cut := _cut(body)):
        yield from _from_json_pieces(body, cut, max_instances)
    elif len(body) <= PIECE_BYTES and (digits := digits_of_object(body)) is not None:
        check_count(len(digits), max_instances)
        yield digits
    else:
        # no "e" after {"instances" means no true and no false (1e2 takes the slower way, with the same result)
        plain = body.find(b"e", 16) < 0
        if len(body) <= PIECE_BYTES:
            yield digits_from_list(_instances(body), max_instances, plain=plain)
        else:
            yield from _in_slices(_instances(body), max_instances, 0, plain)


def _in_slices(instances: list[Any], max_instances: int, first: int, plain: bool) -> Iterator[Pixels]:
    """digits_from_list, some digits at a time."""
    check_count(first + len(instances), max_instances)
    for start in range(0, max(1, len(instances)), SLICE):
        yield digits_from_list(instances[start : start + SLICE], SLICE, first + start, plain)


def _instances(body: bytes) -> list[Any]:
    document = loads(body, f" {ADVICE}")
    if not isinstance(document, dict) or "instances" not in document:
        raise InvalidValue(f"The JSON has no instances. {ADVICE}", "instances")
    reject_unknown_fields(document, FIELDS)
    instances = document["instances"]
    if not isinstance(instances, list):
        raise InvalidValue(f"instances must be a list of digits; {WHAT_A_DIGIT_IS}.", "instances")
    return instances


def reject_unknown_fields(document: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise InvalidValue for the first field of a JSON object that is not in `known`; a typo is never ignored."""
    for key in document:
        if key not in known:
            name = repr(key[:40])  # escapes control characters and lone surrogates
            others = f"the fields are {', '.join(known)}" if len(known) > 1 else f"the only field is {known[0]}"
            raise InvalidValue(f"There is no field {name} in this request; {others}.", name[1:-1])


def digits_from_list(instances: list[Any], max_instances: int, first: int = 0, plain: bool = False) -> Pixels:
    """A list of digits -> uint8 (n, 28, 28).

    Args:
        instances: parsed JSON.
        max_instances: largest number of digits.
        first: the index of instances[0], for messages.
        plain: the list contains neither true nor false.

    Raises:
        InvalidValue: empty, or an element is not a digit; `field` is its path.
        PayloadTooLarge: more than `max_instances`.
    """
    if not instances:
        raise InvalidValue("instances is empty; send at least one digit.", "instances")
    check_count(len(instances), max_instances)
    try:
        packed = b"".join(map(_pack_plain if plain else _pack, instances))
    except (TypeError, ValueError):  # bytes() takes integers 0-255 only; the slow way rounds, or names the place
        return _digits_slowly(instances, first)
    return np.frombuffer(packed, np.uint8).reshape(-1, SIDE, SIDE)


def _digits_slowly(instances: list[Any], first: int) -> Pixels:
    if _is_unwrapped(instances):
        raise InvalidValue("instances is one digit, not a list of them. Wrap it in one more list.", "instances[0]")
    return np.stack([_digit(digit, f"instances[{first + i}]") for i, digit in enumerate(instances)])


def _is_unwrapped(instances: list[Any]) -> bool:
    rows = [row for row in instances if isinstance(row, list) and len(row) == SIDE]
    return len(rows) == len(instances) == SIDE and not any(isinstance(cell, list) for cell in chain(*rows))


def _pack(digit: Any) -> bytes:
    """One digit -> 784 bytes; raises TypeError or ValueError unless it is all integers 0-255."""
    packed = _pack_plain(digit)
    if bool in set(map(type, chain.from_iterable(digit) if len(digit) == SIDE else digit)):
        raise TypeError
    return packed


def _pack_plain(digit: Any) -> bytes:
    """The same for digits without booleans, which bytes() accepts as 0 and 1. bytes(list) is the fastest check."""
    if len(digit) == SIDE and set(map(type, digit)) == ROW_TYPES and list(map(len, digit)) == ROW_LENGTHS:
        return b"".join(map(bytes, digit))
    if type(digit) is not list or len(digit) != SIZE:
        raise TypeError
    return bytes(digit)


def _digit(digit: Any, field: str) -> Pixels:
    """One digit whose packing failed: fractions are rounded, other values rejected by their path."""
    numbers, places = _numbers(digit, field)
    for number, place in zip(numbers, places, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float):
            kind = KINDS.get(type(number), "not a number")
            raise InvalidValue(f"{place} is {kind}; {WHAT_A_DIGIT_IS}.", place)
        if not 0 <= number <= 255:
            raise InvalidValue(f"{place} is {number:.6g}; a pixel is a number from 0 to 255.", place)
    return rounded(np.array(numbers, np.float64), field).reshape(SIDE, SIDE)


def _numbers(digit: Any, field: str) -> tuple[list[Any], list[str]]:
    if not isinstance(digit, list):
        raise InvalidValue(f"{field} is not a list; {WHAT_A_DIGIT_IS}.", field)
    if len(digit) == SIZE and not any(isinstance(row, list) for row in digit):
        return digit, [f"{field}[{i}]" for i in range(SIZE)]
    if len(digit) != SIDE:
        raise InvalidValue(f"{field} has {len(digit)} entries; {WHAT_A_DIGIT_IS}.", field)
    for i, row in enumerate(digit):
        if not isinstance(row, list):
            raise InvalidValue(f"{field}[{i}] is not a row of {SIDE} numbers; {WHAT_A_DIGIT_IS}.", f"{field}[{i}]")
        if len(row) != SIDE:
            raise InvalidValue(f"{field}[{i}] has {len(row)} numbers and must have {SIDE}.", f"{field}[{i}]")
    return list(chain.from_iterable(digit)), [f"{field}[{i}][{j}]" for i in range(SIDE) for j in range(SIDE)]


# -- large JSON, in chunks ------------------------------------------------------------------------------------


def _cut(body: bytes) -> ChunkedList | None:
    """The list of instances, if the body holds nothing else; a string after it could be another key."""
    start, end = START.match(body, 0, MOST_BLANKS), END.search(body, max(0, len(body) - 100))
    if not start or not end or body.find(b'"', start.end()) >= 0:
        return None
    return ChunkedList(body, start.end(), end.start(), f" {ADVICE}")


def _from_json_pieces(body: bytes, cut: ChunkedList, max_instances: int) -> Iterator[Pixels]:
    first = 0
    for start, end in cut.chunks():
        if (plain := digits_of_list(b"[%b]" % body[start:end])) is not None:
            check_count(first + len(plain), max_instances)
            yield plain
            first += len(plain)
            continue
        digits = cut.elements(start, end)
        if not digits:  # not JSON, which loads() reports, or digits of another form
            yield from _in_slices(_instances(body)[first:], max_instances, first, plain=False)
            return
        check_count(first + len(digits), max_instances)
        yield digits_from_list(digits, max_instances, first, plain=body.find(b"e", start, end) < 0)
        first += len(digits)
