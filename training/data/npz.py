"""Keras's mnist.npz (x_train, y_train, x_test, y_test) to digits."""

import hashlib
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.digits import Digits, check_labels
from training.errors import DataError

ARRAYS = "x_train, y_train, x_test and y_test"


def has(file: Path, part: str) -> bool:
    """Is there such a file, and such a part in it? "train" always, so that `read` says what is wrong."""
    if not file.is_file() or part == "train":
        return file.is_file()
    try:
        with zipfile.ZipFile(file) as archive:
            return f"x_{part}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read(file: Path, part: str) -> Digits:
    """The digits of `part` ("train" or "test"). Raises DataError naming file, array and row."""
    data = file.read_bytes()
    pixels, labels = _array(data, f"x_{part}", file), _array(data, f"y_{part}", file)
    pixels = _check_pixels(pixels, f"x_{part}", file)
    if labels.shape != (len(pixels),):
        raise DataError(
            f"{file}: y_{part} has the shape {labels.shape}; expected ({len(pixels)},), one label for each picture."
        )
    return Digits(pixels, check_labels(labels, file, f"y_{part}"), {file.name: hashlib.sha256(data).hexdigest()})


def _array(data: bytes, name: str, file: Path) -> NDArray[np.generic]:
    """One array. An .npz file is a zip of .npy files, each one array."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if f"{name}.npy" not in archive.namelist():
                found = ", ".join(each.removesuffix(".npy") for each in archive.namelist()[:5]) or "nothing"
                raise DataError(f"{file}: has no array {name} (found: {found}); expected {ARRAYS}.")
            return np.lib.format.read_array(BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    except ValueError as error:  # what it says next is advice to allow pickles, which may run any program
        problem = "holds Python objects" if "allow_pickle" in str(error) else "is truncated or damaged"
        raise DataError(f"{file}: {name} {problem}; expected whole numbers.") from error
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{file}: cannot be read as an .npz file. It is truncated or another kind of file; expected {ARRAYS}."
        ) from error


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
