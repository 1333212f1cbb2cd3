"""Fast path for JSON: digits of integers, by simdjson, straight from the text to an array in half the time.

simdjson turns nested lists into one buffer of numbers, without Python lists. Everything else (floats, other keys, wrong
values, all error messages) is left to json.py, and so is everything if simdjson is not installed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from service.digits import SIDE, SIZE, Pixels
from service.inputs.pixels import ROW_LENGTHS

PARSER: Any = None
with suppress(ImportError):  # no wheel for this Python: json.py gives the same results more slowly
    from simdjson import Parser

    PARSER = Parser()

KEY = "instances"


def digits_of_object(text: bytes) -> Pixels | None:
    """`{"instances": [digit, ...]}` -> uint8 (n, 28, 28); None unless each digit is 28x28 or 784 integers 0-255."""
    # the text has one string only, the key: no unknown fields, no duplicate keys
    return _digits(text, KEY) if text.rfind(b'"') - text.find(b'"') == len(KEY) + 1 else None


def digits_of_list(text: bytes) -> Pixels | None:
    """The same for `[digit, ...]`."""
    return _digits(text) if text.find(b'"') < 0 else None


def _digits(text: bytes, key: str = "") -> Pixels | None:
    if PARSER is None or not text.isascii():
        return None
    try:
        document: Any = PARSER.parse(text)
        instances = document[key] if key else document
        count, brackets = len(instances), text.count(b"[")
        if brackets == 1 + count * (1 + SIDE):
            shaped = all(list(map(len, digit)) == ROW_LENGTHS for digit in instances)
        else:
            shaped = brackets == 1 + count and list(map(len, instances)) == [SIZE] * count
        if not shaped or not count:
            return None
        numbers = np.frombuffer(instances.as_buffer(of_type="u"), np.uint64)
    except (TypeError, ValueError, KeyError, RuntimeError):  # not integers, not JSON, or nested too deeply for simdjson
        return None
    if numbers.size != count * SIZE or np.maximum.reduce(numbers) > 255:
        return None
    return numbers.astype(np.uint8).reshape(count, SIDE, SIDE)
