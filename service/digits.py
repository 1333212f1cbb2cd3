"""What a digit is: 28 x 28 pixels, and a probability for each of ten classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE, SIZE = 28, 784

Pixels = NDArray[np.uint8]  # (n, 28, 28), 0-255, bright ink on a dark ground
Probabilities = NDArray[np.float32]  # (n, 10), each row sums to 1
