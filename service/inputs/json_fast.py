"""Digits as nearly everybody writes them in JSON, from the text to an array past Python's lists: half the time.

By simdjson, where it is installed: its arrays become buffers of numbers in one go. It takes what is plain, and leaves
everything else, and every message, to json.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from service.digits import SIDE, SIZE, Pixels
from service.inputs.pixels import ROW_LENGTHS

PARSER: Any = None
with suppress(ImportError):  # no wheel for this Python yet: the same answers come a little later
    from simdjson import Parser

    PARSER = Parser()

KEY = "instances"


def digits_of_object(text: bytes) -> Pixels | None:
    """`{"instances": [digit, ...]}` -> uint8 (n, 28, 28), if every digit is 28 rows of 28, or 784, whole numbers."""
    # one text, the key, and no other: then it is no matter which of two keys counts
    return _digits(text, KEY) if text.rfind(b'"') - text.find(b'"') == len(KEY) + 1 else None


def digits_of_list(text: bytes) -> Pixels | None:
    """The same of `[digit, ...]`."""
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
    except (TypeError, ValueError, KeyError, RuntimeError):  # not plain, not JSON, or deeper than simdjson goes
        return None
    if numbers.size != count * SIZE or np.maximum.reduce(numbers) > 255:
        return None
    return numbers.astype(np.uint8).reshape(count, SIDE, SIDE)
