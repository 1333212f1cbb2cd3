"""Keras's mnist.npz (x_train, y_train, x_test, y_test) to digits."""

import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.digits import Digits, check_labels
from training.errors import DataError


def read(file: Path, part: str) -> Digits:
    """The digits of `part` ("train" or "test"). Raises DataError naming file, array and row."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            pixels, labels = _array(arrays, f"x_{part}"), _array(arrays, f"y_{part}")
    except KeyError as error:
        raise DataError(f"{file}: has no array {error}; expected x_train, y_train, x_test and y_test.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise DataError(
            f"{file}: cannot be read as an .npz file ({error}). It is truncated or another kind of file."
        ) from error
    pixels = _check_pixels(pixels, f"x_{part}", file)
    if labels.shape != (len(pixels),):
        raise DataError(
            f"{file}: y_{part} has the shape {labels.shape}; expected ({len(pixels)},), one label for each picture."
        )
    return Digits(pixels, check_labels(labels, file), {file.name: hashlib.sha256(file.read_bytes()).hexdigest()})


def _array(arrays: np.lib.npyio.NpzFile, name: str) -> NDArray[np.generic]:
    return np.asarray(arrays[name])


def _check_pixels(pixels: NDArray[np.generic], name: str, file: Path) -> NDArray[np.uint8]:
    if pixels.ndim != 3 or pixels.shape[1:] != (28, 28) or len(pixels) == 0:
        raise DataError(f"{file}: {name} has the shape {pixels.shape}; expected (n, 28, 28).")
    if pixels.dtype.kind not in "iu":
        raise DataError(f"{file}: {name} holds {pixels.dtype}; expected whole numbers 0 to 255.")
    wrong = ((pixels < 0) | (pixels > 255)).any(axis=(1, 2))
    if wrong.any():
        row = int(np.argmax(wrong))
        value = next(v for v in pixels[row].ravel() if not 0 <= v <= 255)
        raise DataError(f"{file}, row {row + 1} of {name}: a pixel is {value}; expected 0 to 255.")
    return pixels.astype(np.uint8)
