"""Reads Keras's mnist.npz, which holds the arrays x_train, y_train, x_test and y_test."""

import hashlib
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.digits import LabelledDigits, check_labels
from training.errors import DataError

ARRAYS = "x_train, y_train, x_test and y_test"


def has(file: Path, part: str) -> bool:
    """Whether the file exists and has this part; always True for "train" of a file that exists, so that `read` reports
    what is wrong with it.
    """
    if not file.is_file() or part == "train":
        return file.is_file()
    try:
        with zipfile.ZipFile(file) as archive:
            return f"x_{part}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read(file: Path, part: str) -> LabelledDigits:
    """The digits of `part` ("train" or "test"). Raises DataError naming file, array and row."""
    data = file.read_bytes()
    images, labels = _array(data, f"x_{part}", file), _array(data, f"y_{part}", file)
    pixels = _check_pixels(images, f"x_{part}", file)
    if labels.shape != (len(pixels),):
        raise DataError(
            f"{file}: y_{part} has the shape {labels.shape}; expected ({len(pixels)},), one label for each image."
        )
    files = {file.name: hashlib.sha256(data).hexdigest()}
    return LabelledDigits(pixels, check_labels(labels, file, f"y_{part}"), files)


def _array(data: bytes, name: str, file: Path) -> NDArray[Any]:
    """One array of the file: an .npz file is a zip archive with one .npy file per array."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if f"{name}.npy" not in archive.namelist():
                found = ", ".join(each.removesuffix(".npy") for each in archive.namelist()[:5]) or "nothing"
                raise DataError(f"{file}: has no array {name} (found: {found}); expected {ARRAYS}.")
            array: NDArray[Any] = np.lib.format.read_array(BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            return array
    except ValueError as error:  # numpy's advice is to allow pickles, and a pickle can run any program
        problem = "holds Python objects" if "allow_pickle" in str(error) else "is truncated or damaged"
        raise DataError(f"{file}: {name} {problem}; expected whole numbers.") from error
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{file}: cannot be read as an .npz file. It is truncated or another kind of file; expected {ARRAYS}."
        ) from error


def _check_pixels(pixels: NDArray[Any], name: str, file: Path) -> NDArray[np.uint8]:
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
