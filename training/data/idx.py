"""Reads MNIST's own files (IDX, plain or .gz). A file that is too short, too long or of another kind is rejected.

Format: two zero bytes, a type (8 = uint8), the number of dimensions, each size as 4 bytes big-endian, then the data.
"""

import gzip
import hashlib
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.digits import LabelledDigits, check_labels
from training.errors import DataError

PARTS = {"train": "train", "test": "t10k"}  # the first word of the file names of each part
UBYTE = 8  # the code of uint8 in the header; 0x0d would be float32. MNIST has only uint8
NAMES = re.compile(r"(train|t10k)-(images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?")


def image_file(folder: Path, part: str) -> Path | None:
    """The file with the images of `part`, or None where the folder has none."""
    return find(folder, f"{PARTS[part]}-images-idx3-ubyte")


def is_one(file: Path) -> bool:
    """Whether the file has the name of one of the four MNIST files."""
    return NAMES.fullmatch(file.name) is not None


def read(folder: Path, part: str) -> LabelledDigits:
    """The digits of `part` ("train" or "test"). Raises DataError naming the file and the row."""
    images_at = image_file(folder, part)
    labels_at = find(folder, f"{PARTS[part]}-labels-idx1-ubyte")
    if images_at is None or labels_at is None:
        kind = "images-idx3" if images_at is None else "labels-idx1"
        raise DataError(
            f"{folder} lacks {PARTS[part]}-{kind}-ubyte (plain or .gz). `python -m training data` fetches all files."
        )
    pixels, pixels_sha = _array(images_at, dimensions=3)
    labels, labels_sha = _array(labels_at, dimensions=1)
    if len(pixels) != len(labels):
        raise DataError(
            f"{images_at}: {len(pixels)} images, but {labels_at.name} has {len(labels)} labels; expected equally many."
        )
    files = {images_at.name: pixels_sha, labels_at.name: labels_sha}
    return LabelledDigits(pixels, check_labels(labels, labels_at), files)


def find(folder: Path, name: str) -> Path | None:
    """The file of that name, plain or .gz, or None. Some copies are named train-images.idx3-ubyte, with a dot."""
    spellings = [name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"]
    return next((folder / each for each in spellings if (folder / each).is_file()), None)


def _array(file: Path, dimensions: int) -> tuple[NDArray[np.uint8], str]:
    """The array in an IDX file and the SHA-256 of its unzipped bytes."""
    data = _bytes(file)
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise DataError(
            f"{file}: only {len(data)} bytes; expected a header of {header}. The file is truncated: fetch it again."
        )
    if data[:4] != bytes([0, 0, UBYTE, dimensions]):
        raise DataError(
            f"{file}: begins with {data[:4].hex(' ')}; expected 00 00 08 {dimensions:02d}, an IDX file of bytes."
        )
    # ">" is big-endian: 60,000 is 00 00 ea 60. Read little-endian, as PCs store numbers, it would be 1,625,948,160.
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if shape[0] and shape[1:] not in ((), (28, 28)):
        raise DataError(f"{file}: images of {shape[1]}x{shape[2]}; expected 28x28.")
    _check_length(file, len(data) - header, shape)
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape), hashlib.sha256(data).hexdigest()


def _check_length(file: Path, found: int, shape: tuple[int, ...]) -> None:
    row_bytes = math.prod(shape[1:])
    expected = shape[0] * row_bytes
    if shape[0] == 0 or row_bytes == 0:
        raise DataError(f"{file}: holds no digits (sizes {shape}); expected at least one.")
    if found < expected:
        raise DataError(
            f"{file}, row {found // row_bytes + 1}: the file ends here; expected {shape[0]} rows of {row_bytes} bytes. "
            "It is truncated: fetch it again."
        )
    if found > expected:
        raise DataError(
            f"{file}: {found - expected} bytes too many after row {shape[0]}; expected the file to end there."
        )


def _bytes(file: Path) -> bytes:
    data = file.read_bytes()
    if not data:
        raise DataError(f"{file} is empty; expected an IDX file.")
    if file.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{file}: cannot be unzipped ({error}). It is truncated or damaged: fetch it again.") from error
