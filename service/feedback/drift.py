"""Has what people send moved away from what the model was judged on? Population stability index, share by share.

PSI = sum over bins of (a - e) ln(a / e), a being the share seen and e the share expected (the card's `reference`).
The usual reading: under 0.1 no change worth a look, 0.1 to 0.25 look, over 0.25 act. With few digits the index is
noisy: it is of the order of (bins - 1) / n by chance alone, so nothing is said under 500 digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from service.digits import Pixels, Probabilities

FEWEST_DIGITS = 500
SMALLEST_SHARE = 1e-4


def indices(reference: dict[str, Any] | None, pixels: Pixels, probabilities: Probabilities) -> dict[str, float]:
    """The index of the classes found, of confidence and of mean ink; empty with too few digits or no reference.

    Args:
        reference: from the card: class_shares, and confidence_histogram and ink_mean_histogram with their edges.
        pixels: uint8 (n, 28, 28), the last digits.
        probabilities: float32 (n, 10), what was answered.
    """
    if not reference or len(pixels) < FEWEST_DIGITS:
        return {}
    confidence = probabilities.max(axis=1).clip(0, 1)
    ink = pixels.reshape(len(pixels), -1).mean(axis=1)
    try:
        seen = {
            "classes": (reference["class_shares"], np.bincount(probabilities.argmax(axis=1), minlength=10)),
            "confidence": (
                reference["confidence_histogram"],
                np.histogram(confidence, reference["confidence_edges"])[0],
            ),
            "ink": (reference["ink_mean_histogram"], np.histogram(ink, reference["ink_mean_edges"])[0]),
        }
        return {name: stability(expected, counts / len(pixels)) for name, (expected, counts) in seen.items()}
    except (KeyError, TypeError, ValueError):  # a card that was made by other hands
        return {}


def stability(expected: ArrayLike, seen: ArrayLike) -> float:
    """Population stability index of two lists of shares over the same bins. 0 means alike."""
    e, a = (np.maximum(np.asarray(shares, np.float64), SMALLEST_SHARE) for shares in (expected, seen))
    return float(((a - e) * np.log(a / e)).sum())
