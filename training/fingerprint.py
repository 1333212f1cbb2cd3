"""A fingerprint of the training digits, kept in the exported file: was a model trained on this digit?

A model reads the digits that it was trained on better than others, so two versions can be compared fairly only on
digits that neither was trained on. Kaggle's digits are MNIST's: the question comes up as soon as one retrains a model
of the one data set with the other.
"""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

# A Bloom filter with one hash function: 524,288 bits = 64 KiB. 54,000 digits set a tenth of them, so one unknown digit
# in ten finds its bit set by another and counts as known. No known digit ever counts as unknown.
BITS = 2**19
PROPERTY = "learned"  # its name in the metadata of the ONNX file


def encode(pixels: NDArray[np.uint8]) -> str:
    """The fingerprint of digits (n, 28, 28) as text, zlib and base64: about 40 KB for MNIST."""
    table = np.zeros(BITS, bool)
    table[_positions(pixels)] = True
    return base64.b64encode(zlib.compress(np.packbits(table).tobytes(), 9)).decode()


def unseen(fingerprint: str | None, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For each digit, whether the model was certainly not trained on it: (n,) bool. All False without a fingerprint."""
    if not fingerprint:
        return np.zeros(len(pixels), bool)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(fingerprint)), np.uint8)
    return ~np.unpackbits(packed).astype(bool)[_positions(pixels)]


def _positions(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    rows = np.ascontiguousarray(pixels.reshape(len(pixels), -1))
    return np.array([zlib.crc32(row) % BITS for row in rows], np.int64)
