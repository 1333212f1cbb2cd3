"""Raw bytes and .npy files -> digits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.digits import SIDE, SIZE, Pixels
from service.errors import BadRequest, InvalidValue
from service.inputs.pixels import check_count, rounded

MAX_HEADER_BYTES = 16 * 1024  # numpy itself reads headers of 10,000


def from_octets(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """n x 784 raw bytes, row-major, one byte per pixel; yields one array (n, 28, 28) without a copy.

    Raises:
        BadRequest: the length is not a multiple of 784.
        PayloadTooLarge: more than `max_instances` digits.
    """
    if len(body) % SIZE:
        raise BadRequest(
            f"{len(body)} bytes are not whole digits; send a multiple of {SIZE} bytes, one byte per pixel."
        )
    check_count(len(body) // SIZE, max_instances)
    yield np.frombuffer(body, np.uint8).reshape(-1, SIDE, SIDE)


def from_npy(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """One array as numpy.save writes it: (n, 28, 28), (n, 28, 28, 1), (n, 784), (28, 28) or (784,), any real dtype.

    Format: numpy.lib.format. Floats are rounded.

    Raises:
        BadRequest: not a .npy file, or of another length than its header claims.
        InvalidValue: another shape or dtype, or values outside 0-255.
        PayloadTooLarge: more than `max_instances` digits.
    """
    shape, fortran, dtype, offset = _npy_header(body)
    count = int(np.prod(shape, dtype=object))
    if not _is_digits(shape):
        raise InvalidValue(f"The array has shape {str(shape)[:60]}; send (n, 28, 28) or (n, 784).", "array")
    check_count(count // SIZE, max_instances)
    if dtype.kind not in "uif":
        raise InvalidValue(f"The array has dtype {dtype}; send uint8.", "array")
    size = count * dtype.itemsize
    if len(body) - offset != size:
        raise BadRequest(f"The .npy file should hold {size} bytes of data, and holds {len(body) - offset}.")
    array = np.frombuffer(body, dtype, offset=offset).reshape(shape, order="F" if fortran else "C")
    first = 0
    for piece in np.array_split(array.reshape(-1, SIDE, SIDE), max(1, count // (64 * SIZE))):
        yield piece if piece.dtype == np.uint8 else _to_uint8(piece, "array", first)
        first += len(piece)


def _npy_header(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(body[:MAX_HEADER_BYTES])  # a longer header, which would take a second, ends too early
    try:
        major, _ = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        with warnings.catch_warnings():  # numpy warns about headers written by Python 2
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(stream)
    except Exception:  # noqa: BLE001 - numpy parses the header as Python, and raises errors of many types
        raise BadRequest("The body is not a .npy file; write it with numpy.save, without pickle.") from None
    return shape, fortran, dtype, stream.tell()


def _is_digits(shape: tuple[int, ...]) -> bool:
    return shape in ((SIDE, SIDE), (SIZE,)) or (
        shape[:1] > (0,) and shape[1:] in ((SIDE, SIDE), (SIDE, SIDE, 1), (SIZE,))
    )


def _to_uint8(numbers: NDArray[Any], field: str, first: int) -> Pixels:
    if not ((numbers >= 0) & (numbers <= 255)).all():  # False for NaN too
        raise InvalidValue(f"{field} holds numbers outside 0-255; a pixel is a number from 0 to 255.", field)
    return rounded(numbers, field, first) if numbers.dtype.kind == "f" else numbers.astype(np.uint8)
