"""Tensors of the Open Inference Protocol, as JSON or as bytes, <-> numpy. It knows neither requests nor models.

In:  `pixels`, UINT8 of [n, 28, 28, 1], [n, 28, 28] or [n, 784]; or `image`, BYTES of [n] or [n, 1], each element a PNG,
     JPEG, WebP, BMP, GIF or TIFF file (in JSON: the file in base64).
Out: FP32, or with the classification extension BYTES, "value:index:label".

Every error is a BadRequest (or PayloadTooLarge, if a limit is exceeded) that names the tensor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.digits import SIDE, SIZE, Pixels
from service.errors import BadRequest, PayloadTooLarge, pluralize
from service.inputs.pictures import from_base64
from service.inputs.pixels import check_count

Floats = NDArray[np.float32]
Bytes = bytes | memoryview

PIXELS, IMAGE = "pixels", "image"
DATATYPES = {PIXELS: "UINT8", IMAGE: "BYTES"}
DIGIT_SHAPES = ([SIDE, SIDE, 1], [SIDE, SIDE], [SIZE])
PIECE_TEXTS = 4096
CONTENT = {
    PIXELS: "raw pixels 0-255, one byte each (the model itself divides by 255)",
    IMAGE: "picture files",
}


def check_datatype(name: str, datatype: object) -> None:
    """Check the datatype of an input. Raises BadRequest."""
    if datatype != DATATYPES[name]:
        raise BadRequest(
            f"The datatype of {name} is {_shown(datatype)}; it must be {DATATYPES[name]}: {CONTENT[name]}."
        )


def check_pixels_shape(shape: object, max_count: int) -> list[int]:
    """The shape of `pixels`, validated: 1 to `max_count` digits. Raises BadRequest or PayloadTooLarge."""
    sizes = _sizes(PIXELS, shape)
    if sizes[1:] not in DIGIT_SHAPES:
        raise BadRequest(
            f"The shape of pixels is {_shown_shape(sizes)}; it must be [n, 28, 28, 1], [n, 28, 28] or [n, 784]."
        )
    if sizes[0] < 1:
        raise BadRequest(f"The shape of pixels is {_shown_shape(sizes)}; send at least one digit.")
    check_count(sizes[0], max_count)
    return sizes


def check_image_shape(shape: object, max_count: int) -> list[int]:
    """The shape of `image`, validated: 1 to `max_count` pictures. Raises BadRequest or PayloadTooLarge."""
    sizes = _sizes(IMAGE, shape)
    if len(sizes) not in (1, 2) or sizes[1:] not in ([], [1]) or sizes[0] < 1:
        raise BadRequest(f"The shape of image is {_shown_shape(sizes)}; it must be [n] or [n, 1] with n of 1 or more.")
    if sizes[0] > max_count:
        raise PayloadTooLarge(f"The request has {sizes[0]} pictures; the limit is {max_count}. Send several requests.")
    return sizes


def pixels_from_bytes(data: Bytes, shape: Sequence[int]) -> Pixels:
    """One byte per pixel -> uint8 (n, 28, 28), without a copy."""
    check_size(len(data), shape)
    return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)


def check_size(found: int, shape: Sequence[int], unit: str = "byte") -> None:
    """Check that the amount of data matches the shape. Raises BadRequest."""
    expected = shape[0] * SIZE
    if found != expected:
        raise BadRequest(f"pixels has {pluralize(found, unit)} of data; its shape {list(shape)} requires {expected}.")


def pixels_from_numbers(data: object, shape: Sequence[int], plain: bool = False) -> Pixels:
    """JSON numbers, flat or nested as in the shape -> uint8 (n, 28, 28).

    Args:
        data: parsed JSON.
        shape: validated already.
        plain: the caller knows that it contains neither true nor false.
    """
    numbers = flat(_a_list(PIXELS, data), shape)
    check_size(len(numbers), shape, "number")
    return pixels_from_packed(pack(numbers, plain), shape)


def pixels_from_packed(packed: bytes, shape: Sequence[int]) -> Pixels:
    """JSON numbers, packed -> uint8 (n, 28, 28)."""
    check_size(len(packed), shape, "number")
    return np.frombuffer(packed, np.uint8).reshape(-1, SIDE, SIDE)


def flat(rows: list[Any], shape: Sequence[int], name: str = PIXELS) -> list[Any]:
    """Flatten JSON data, which are flat already or nested as in the shape. Raises BadRequest."""
    if not rows or type(rows[0]) is not list:
        return rows
    level = rows
    for size in shape[1:]:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise BadRequest(
                f"The data of {name} are not nested as its shape {list(shape)} says; nest them so, or send them flat."
            )
        level = list(chain.from_iterable(level))
    return level


def pack(numbers: list[Any], plain: bool = False, first: int = 0) -> bytes:
    """Whole numbers 0-255 (7.0 is one) -> bytes. Raises BadRequest; its index counts from `first`."""
    try:
        if plain or bool not in set(map(type, numbers)):  # bytes() would accept them as 0 and 1
            return bytes(numbers)  # the fastest check there is
    except (TypeError, ValueError):
        pass
    if set(map(type, numbers)) <= {int, float}:
        values = np.array(numbers, np.float64)
        if ((values >= 0) & (values <= 255) & (values == np.floor(values))).all():
            return values.astype(np.uint8).tobytes()
    return bytes(_whole(number, first + i) for i, number in enumerate(numbers))


def pictures_from_bytes(data: Bytes, count: int) -> list[Bytes]:
    """The elements of a BYTES tensor, each after its length in 4 bytes, little-endian. No copy is made."""
    found: list[Bytes] = []
    at, view = 0, memoryview(data)
    while at + 4 <= len(view) and len(found) < count:
        (size,) = struct.unpack_from("<I", view, at)
        if size > (left := len(view) - at - 4):
            raise BadRequest(
                f"Element {len(found)} of image should have {pluralize(size, 'byte')}; only {left} follow."
            )
        found.append(view[at + 4 : at + 4 + size])
        at += 4 + size
    if len(found) != count or at != len(view):
        exactly = f"exactly {pluralize(count, 'element')}"
        raise BadRequest(f"The data of image must hold {exactly}, each after its 4-byte length.")
    return found


def pictures_from_text(data: object, shape: Sequence[int]) -> list[Bytes]:
    """JSON strings -> picture files. Each string is a file in base64."""
    texts = flat(_a_list(IMAGE, data), shape, IMAGE)
    if len(texts) != shape[0]:
        raise BadRequest(f"image has {pluralize(len(texts), 'element')}; its shape {list(shape)} requires {shape[0]}.")
    return [_from_base64(text, i) for i, text in enumerate(texts)]


def as_bytes_tensor(elements: Iterable[str]) -> bytes:
    """Strings -> a BYTES tensor."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def classification(values: Floats, count: int, labels: Sequence[str]) -> list[list[str]]:
    """The classification extension: for each row its `count` highest values, as "value:index:label".

    Args:
        values: (n, ...); all axes after the first form one row.
        count: values per row; a shorter row gives all of its values.
        labels: of the indices, or empty.
    """
    rows = values.reshape(len(values), -1)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    ends = [f":{i}:{label}" for i, label in enumerate(labels)] or [f":{i}" for i in range(rows.shape[1])]
    return [[f"{row[i]:f}{ends[i]}" for i in order] for row, order in zip(rows.tolist(), best.tolist(), strict=True)]


def classified(values: Floats, count: int, labels: Sequence[str]) -> Iterator[list[str]]:
    """The texts of `classification`, in pieces that each take some milliseconds."""
    step = max(1, PIECE_TEXTS // min(count, values[0].size))
    for start in range(0, len(values), step):
        yield list(chain.from_iterable(classification(values[start : start + step], count, labels)))


# -- helpers ------------------------------------------------------------------------------------------------


def _sizes(name: str, shape: object) -> list[int]:
    if not isinstance(shape, list) or not shape or not all(type(size) is int for size in shape):
        raise BadRequest(f"The shape of {name} must be a list of whole numbers, such as [1, 28, 28, 1].")
    return shape


def _shown_shape(sizes: list[int]) -> str:
    text = f"{sizes}"
    return text if len(text) <= 100 else f"of {pluralize(len(sizes), 'axis', 'axes')}"


def _shown(datatype: object) -> str:
    """The caller's datatype, safe to print on one line."""
    if not isinstance(datatype, str):
        return "not named" if datatype is None else "not a string"
    return datatype[:20] if datatype.isalnum() else repr(datatype[:20])


def _a_list(name: str, data: object) -> list[Any]:
    if not isinstance(data, list):
        raise BadRequest(f"The data of {name} must be a list.")
    return data


def _whole(number: object, index: int) -> int:
    if type(number) not in (int, float):
        kinds = {bool: "true or false", str: "text", type(None): "null", list: "a list", dict: "an object"}
        raise BadRequest(f"data[{index}] of pixels is {kinds[type(number)]}; UINT8 data are whole numbers 0-255.")
    assert isinstance(number, int | float)
    if not 0 <= number <= 255 or number != int(number):
        hint = " Send raw pixels, not divided by 255." if 0 < number < 1 else ""
        raise BadRequest(f"data[{index}] of pixels is {number:.6g}; UINT8 data are whole numbers 0-255.{hint}")
    return int(number)


def _from_base64(text: object, index: int) -> bytes:
    try:
        return from_base64(text)
    except ValueError:
        raise BadRequest(
            f"Element {index} of image is not base64, as a picture file must be in JSON; or send it as binary data."
        ) from None
