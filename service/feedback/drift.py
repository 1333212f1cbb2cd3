"""Drift: do the digits of callers differ from those on which the model was evaluated? Population stability index.

PSI = sum over bins of (a - e) ln(a / e), with the observed share a and the expected share e (`reference` in the card).
Rule of thumb: below 0.1 no relevant change, 0.1 to 0.25 investigate, above 0.25 act. Chance alone gives an index of the
order of (bins - 1) / n, so none is reported below 500 digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from service.digits import Pixels, Probabilities

MIN_DIGITS = 500
MIN_SHARE = 1e-4  # of an empty bin, whose logarithm would be infinite


def indices(reference: dict[str, Any] | None, pixels: Pixels, probabilities: Probabilities) -> dict[str, float]:
    """The index of predicted classes, confidence and mean ink per digit; empty with too few digits or no reference.

    Args:
        reference: of the card: class_shares, and confidence_histogram and ink_mean_histogram with their edges.
        pixels: uint8 (n, 28, 28), recent digits.
        probabilities: float32 (n, 10), their predictions.
    """
    if not reference or len(pixels) < MIN_DIGITS:
        return {}
    confidence = probabilities.max(axis=1).clip(0, 1)
    ink = pixels.reshape(len(pixels), -1).mean(axis=1)
    try:
        observed = {
            "classes": (reference["class_shares"], np.bincount(probabilities.argmax(axis=1), minlength=10)),
            "confidence": (
                reference["confidence_histogram"],
                np.histogram(confidence, reference["confidence_edges"])[0],
            ),
            "ink": (reference["ink_mean_histogram"], np.histogram(ink, reference["ink_mean_edges"])[0]),
        }
        return {name: stability(expected, counts / len(pixels)) for name, (expected, counts) in observed.items()}
    except (KeyError, TypeError, ValueError):  # a card that training did not write
        return {}


def stability(expected: ArrayLike, observed: ArrayLike) -> float:
    """Population stability index of two lists of shares (k,) over the same bins. 0 means equal."""
    e, a = (np.maximum(np.asarray(shares, np.float64), MIN_SHARE) for shares in (expected, observed))
    return float(((a - e) * np.log(a / e)).sum())
