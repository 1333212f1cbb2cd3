"""What a digit is, whatever it came in: shapes, limits and the refusals that all decoders share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidValue, PayloadTooLarge

Pixels = NDArray[np.uint8]

SIDE, SIZE = 28, 784
WHAT_A_DIGIT_IS = "a digit is 28 rows of 28 numbers, or 784 numbers, each 0-255 (bright ink on a dark ground)"


def check_count(count: int, limit: int) -> None:
    """Raise PayloadTooLarge for more digits than one request may carry."""
    if count > limit:
        raise PayloadTooLarge(f"{count} digits in one request; at most {limit} are taken. Send several requests.")


def rounded(numbers: NDArray[np.floating[Any]], field: str) -> Pixels:
    """Numbers in 0-255 -> uint8, fractions rounded; refuses what was evidently divided by 255 already."""
    if numbers.size and numbers.max() <= 1 and (numbers != np.floor(numbers)).any():
        raise InvalidValue(
            f"{field} lies between 0 and 1, as if divided by 255. Send raw pixels 0-255: the model divides.", field
        )
    pixels: Pixels = np.rint(numbers).astype(np.uint8)
    return pixels
