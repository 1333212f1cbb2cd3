"""Statistics of the model's inputs and answers at training time, against which the service measures drift."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_EDGES = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]  # of the largest probability
INK_EDGES = [*range(0, 101, 10), 255]  # of the mean pixel of a digit, 0 to 255; MNIST's digits have 5 to 100


def reference(pixels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Histograms as shares (each list sums to 1) over digits (n, 28, 28) and their probabilities (n, 10)."""
    # Three cheap signs that the inputs have changed: other frequencies of the digits, less confident answers, thicker
    # or thinner strokes. None of them needs the right answer, which a service rarely gets to know.
    predicted = np.bincount(probabilities.argmax(axis=1), minlength=10)
    ink = pixels.reshape(len(pixels), -1).mean(axis=1)
    confidence = np.clip(probabilities.max(axis=1), 0.0, 1.0)
    return {
        "n": len(pixels),
        "class_shares": _shares(predicted),
        "confidence_histogram": _shares(np.histogram(confidence, CONFIDENCE_EDGES)[0]),
        "confidence_edges": CONFIDENCE_EDGES,
        "ink_mean_histogram": _shares(np.histogram(ink, INK_EDGES)[0]),
        "ink_mean_edges": INK_EDGES,
    }


def _shares(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(share), 6) for share in counts / counts.sum()]
