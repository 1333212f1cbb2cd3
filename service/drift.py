"""Has what people send moved away from what the model was judged on? Population stability index, share by share.

PSI = sum over bins of (a - e) ln(a / e), a being the share seen and e the share expected (the card's `reference`).
The usual reading: under 0.1 no change worth a look, 0.1 to 0.25 look, over 0.25 act. With few digits the index is
noisy: it is of the order of (bins - 1) / n by chance alone, so nothing is said under 500 digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from service.model import Pixels, Probabilities

FEWEST_DIGITS = 500
SMALLEST_SHARE = 1e-4
CONFIDENCE_EDGES = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]
INK_EDGES = [0, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 256]


def describe(pixels: Pixels, probabilities: Probabilities) -> dict[str, list[float]]:
    """Shares of the classes found, of confidence, and of mean ink (0-255), each summing to 1."""
    classes = np.bincount(probabilities.argmax(axis=1), minlength=10)
    confidence, _ = np.histogram(probabilities.max(axis=1).clip(0, 1), CONFIDENCE_EDGES)
    ink, _ = np.histogram(pixels.reshape(len(pixels), -1).mean(axis=1), INK_EDGES)
    return {"classes": _shares(classes), "confidence": _shares(confidence), "ink": _shares(ink)}


def stability(expected: ArrayLike, seen: ArrayLike) -> float:
    """Population stability index of two lists of shares over the same bins. 0 means alike."""
    e, a = (np.maximum(np.asarray(shares, np.float64), SMALLEST_SHARE) for shares in (expected, seen))
    return float(((a - e) * np.log(a / e)).sum())


def indices(reference: dict[str, Any] | None, pixels: Pixels, probabilities: Probabilities) -> dict[str, float]:
    """The index of each statistic, empty where the card has no reference or too few digits were seen."""
    if not reference or len(pixels) < FEWEST_DIGITS:
        return {}
    seen = describe(pixels, probabilities)
    return {name: stability(reference[name], shares) for name, shares in seen.items() if name in reference}


def _shares(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(share), 6) for share in counts / max(1, counts.sum())]
