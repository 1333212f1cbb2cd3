"""Predictions of a published model for any number of digits, in batches, so that memory stays small."""

import numpy as np
from numpy.typing import NDArray

from service.engine.model import Model

BATCH = 500


def predict(model: Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Digits (n, 28, 28) uint8 -> probabilities (n, 10) float32."""
    parts = [model.predict(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, 10), np.float32)
