"""What a digit is, whatever it came in: shapes, limits and the refusals that all decoders share."""

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
WHAT_A_DIGIT_IS = "a digit is 28 rows of 28 numbers, or 784 numbers, each 0-255 (bright ink on a dark ground)"


def check_count(count: int, limit: int) -> None:
    """Raise PayloadTooLarge for more digits than one request may carry."""
    if count > limit:
        raise PayloadTooLarge(f"{count} digits in one request; at most {limit} are taken. Send several requests.")


def rounded(numbers: NDArray[np.floating[Any]], field: str, first: int = 0) -> Pixels:
    """Digits as numbers in 0-255 -> uint8, fractions rounded; refuses one that was evidently divided by 255 already.

    `first` is the index of the first of several digits, for the message.
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
