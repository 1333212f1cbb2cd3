"""What all decoders share: shapes and values of a digit, its JSON Schema, limits, and their error messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.digits import SIDE, SIZE, Pixels
from service.errors import InvalidValue, PayloadTooLarge

ROW_LENGTHS = [SIDE] * SIDE
DIGIT: dict[str, Any] = {  # as JSON Schema
    "description": "One digit, bright ink on a dark ground: 28 rows of 28 pixels, or 784 pixels, each 0-255.",
    "oneOf": [
        {
            "type": "array",
            "minItems": 28,
            "maxItems": 28,
            "items": {
                "type": "array",
                "minItems": 28,
                "maxItems": 28,
                "items": {"type": "number", "minimum": 0, "maximum": 255},
            },
        },
        {
            "type": "array",
            "minItems": 784,
            "maxItems": 784,
            "items": {"type": "number", "minimum": 0, "maximum": 255},
        },
    ],
}
INSTANCES: dict[str, Any] = {  # as JSON Schema
    "type": "object",
    "required": ["instances"],
    "additionalProperties": False,
    "properties": {"instances": {"type": "array", "minItems": 1, "items": DIGIT}},
}
WHAT_A_DIGIT_IS = "a digit is 28 rows of 28 numbers, or 784 numbers, each 0-255 (bright ink on a dark ground)"


def check_count(count: int, limit: int) -> None:
    """Raise PayloadTooLarge if one request has more digits than `limit`."""
    if count > limit:
        raise PayloadTooLarge(f"{count} digits in one request; at most {limit} are taken. Send several requests.")


def rounded(numbers: NDArray[np.floating[Any]], field: str, first: int = 0) -> Pixels:
    """Pixels as numbers in 0-255 -> uint8 of the same shape, rounded to the nearest integer, halves to even.

    Args:
        numbers: whole digits, of any shape.
        field: their path in the request.
        first: index of the first of several digits in that field, for the error message.

    Raises:
        InvalidValue: the pixels of a digit are fractions from 0 to 1, evidently divided by 255.
    """
    digits = numbers.reshape(-1, SIZE)
    divided = (digits.max(axis=1, initial=0) <= 1) & (digits != np.floor(digits)).any(axis=1)
    if divided.any():
        place = field if len(digits) == 1 else f"{field}[{first + int(divided.argmax())}]"
        raise InvalidValue(
            f"{place} lies between 0 and 1, as if divided by 255. Send raw pixels 0-255: the model divides.", field
        )
    pixels: Pixels = np.rint(numbers).astype(np.uint8)
    return pixels
