"""Tensors of the Open Inference Protocol, as JSON or as bytes, <-> numpy. It knows neither requests nor models.

In:  `pixels`, UINT8 of [n, 28, 28, 1], [n, 28, 28] or [n, 784]; or `image`, BYTES of [n] or [n, 1], each element a PNG,
     JPEG, WebP, BMP, GIF or TIFF file (in JSON: the file in base64).
Out: FP32, or what the classification extension makes of it, BYTES "value:index:label".

Every refusal is a BadRequest (or PayloadTooLarge, for too much at once) that names the tensor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.digits import SIDE, SIZE, Pixels
from service.errors import BadRequest, PayloadTooLarge
from service.inputs.pictures import from_base64
from service.inputs.pixels import check_count

Floats = NDArray[np.float32]
Bytes = bytes | memoryview

PIXELS, IMAGE = "pixels", "image"
DATATYPES = {PIXELS: "UINT8", IMAGE: "BYTES"}
DIGIT_SHAPES = ([SIDE, SIDE, 1], [SIDE, SIDE], [SIZE])
PIECE_TEXTS = 4096
WHY = {
    PIXELS: "raw pixels 0-255, a byte each (the model itself divides by 255)",
    IMAGE: "picture files",
}


def check_datatype(name: str, datatype: object) -> None:
    """Refuse every datatype but the one that the input has."""
    if datatype != DATATYPES[name]:
        raise BadRequest(f"The datatype of {name} is {_said(datatype)}, and must be {DATATYPES[name]}: {WHY[name]}.")


def check_pixels_shape(shape: object, most: int) -> list[int]:
    """The shape of `pixels`, of at most `most` digits."""
    sizes = _sizes(PIXELS, shape)
    if sizes[1:] not in DIGIT_SHAPES:
        raise BadRequest(
            f"The shape of pixels is {_shown(sizes)}, and must be [n, 28, 28, 1], [n, 28, 28] or [n, 784]."
        )
    if sizes[0] < 1:
        raise BadRequest(f"The shape of pixels is {_shown(sizes)}; send at least one digit.")
    check_count(sizes[0], most)
    return sizes


def check_image_shape(shape: object, most: int) -> list[int]:
    """The shape of `image`, of at most `most` pictures."""
    sizes = _sizes(IMAGE, shape)
    if len(sizes) not in (1, 2) or sizes[1:] not in ([], [1]) or sizes[0] < 1:
        raise BadRequest(f"The shape of image is {_shown(sizes)}, and must be [n] or [n, 1], n being 1 or more.")
    if sizes[0] > most:
        raise PayloadTooLarge(f"{sizes[0]} pictures in one request; at most {most} are taken. Send several requests.")
    return sizes


def pixels_from_bytes(data: Bytes, shape: Sequence[int]) -> Pixels:
    """One byte a pixel -> uint8 (n, 28, 28). No copy is made."""
    check_size(len(data), shape)
    return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)


def check_size(found: int, shape: Sequence[int], what: str = "byte") -> None:
    """Refuse more data, or fewer, than the shape means."""
    wanted = shape[0] * SIZE
    if found != wanted:
        raise BadRequest(f"pixels has {many(found, what)} of data; its shape {list(shape)} means {wanted}.")


def pixels_from_numbers(data: object, shape: Sequence[int], plain: bool = False) -> Pixels:
    """JSON numbers, flat or nested as the shape says -> uint8 (n, 28, 28).

    Args:
        data: parsed JSON.
        shape: checked already.
        plain: there is neither true nor false in it.
    """
    numbers = flat(_a_list(PIXELS, data), shape)
    check_size(len(numbers), shape, "number")
    return pixels_from_packed(pack(numbers, plain), shape)


def pixels_from_packed(packed: bytes, shape: Sequence[int]) -> Pixels:
    """JSON numbers, packed -> uint8 (n, 28, 28)."""
    check_size(len(packed), shape, "number")
    return np.frombuffer(packed, np.uint8).reshape(-1, SIDE, SIDE)


def flat(rows: list[Any], shape: Sequence[int], name: str = PIXELS) -> list[Any]:
    """Elements of JSON data, any number of them: flat as they are, nested if each is nested as the shape says."""
    if not rows or type(rows[0]) is not list:
        return rows
    level = rows
    for size in shape[1:]:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise BadRequest(f"The data of {name} are not nested as its shape {list(shape)}; send them so, or flat.")
        level = list(chain.from_iterable(level))
    return level


def pack(numbers: list[Any], plain: bool = False, first: int = 0) -> bytes:
    """Whole numbers 0-255, 7.0 being one -> bytes. Raises BadRequest, which counts from `first`."""
    try:
        if plain or bool not in set(map(type, numbers)):  # which bytes() would take for 0 and 1
            return bytes(numbers)  # the fastest check there is
    except (TypeError, ValueError):
        pass
    if set(map(type, numbers)) <= {int, float}:
        values = np.array(numbers, np.float64)
        if ((values >= 0) & (values <= 255) & (values == np.floor(values))).all():
            return values.astype(np.uint8).tobytes()
    return bytes(_whole(number, first + i) for i, number in enumerate(numbers))


def pictures_from_bytes(data: Bytes, count: int) -> list[Bytes]:
    """A BYTES tensor: before each element its length, 4 bytes, little-endian. No copy is made."""
    found: list[Bytes] = []
    at, view = 0, memoryview(data)
    while at + 4 <= len(view) and len(found) < count:
        (size,) = struct.unpack_from("<I", view, at)
        if size > (left := len(view) - at - 4):
            raise BadRequest(f"Element {len(found)} of image tells {many(size, 'byte')}, of which {left} came.")
        found.append(view[at + 4 : at + 4 + size])
        at += 4 + size
    if len(found) != count or at != len(view):
        exactly = f"exactly {many(count, 'element')}"
        raise BadRequest(f"The data of image does not hold {exactly}, each behind its 4-byte length.")
    return found


def pictures_from_text(data: object, shape: Sequence[int]) -> list[Bytes]:
    """JSON strings -> files. JSON has no bytes: each string is a file in base64."""
    texts = flat(_a_list(IMAGE, data), shape, IMAGE)
    if len(texts) != shape[0]:
        raise BadRequest(f"image has {many(len(texts), 'element')}; its shape {list(shape)} means {shape[0]}.")
    return [_from_base64(text, i) for i, text in enumerate(texts)]


def as_bytes_tensor(elements: Iterable[str]) -> bytes:
    """Strings -> a BYTES tensor."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def classification(values: Floats, count: int, labels: Sequence[str]) -> list[list[str]]:
    """The classification extension: for each row its `count` highest values, as "value:index:label".

    Args:
        values: (n, ...), whatever lies behind the first axis being one row.
        count: how many; a row that has fewer gives all.
        labels: of the indices, or none.
    """
    rows = values.reshape(len(values), -1)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    ends = [f":{i}:{label}" for i, label in enumerate(labels)] or [f":{i}" for i in range(rows.shape[1])]
    return [[f"{row[i]:f}{ends[i]}" for i in order] for row, order in zip(rows.tolist(), best.tolist(), strict=True)]


def classified(values: Floats, count: int, labels: Sequence[str]) -> Iterator[list[str]]:
    """The same texts one after another, some milliseconds' work at a time."""
    step = max(1, PIECE_TEXTS // min(count, values[0].size))
    for start in range(0, len(values), step):
        yield list(chain.from_iterable(classification(values[start : start + step], count, labels)))


def many(number: int, what: str, plural: str = "") -> str:
    """1 byte, 2 bytes"""
    return f"{number} {what if number == 1 else plural or what + 's'}"


# -- within -------------------------------------------------------------------------------------------------


def _sizes(name: str, shape: object) -> list[int]:
    if not isinstance(shape, list) or not shape or not all(type(size) is int for size in shape):
        raise BadRequest(f"The shape of {name} must be a list of whole numbers, such as [1, 28, 28, 1].")
    return shape


def _shown(sizes: list[int]) -> str:
    text = f"{sizes}"
    return text if len(text) <= 100 else f"of {many(len(sizes), 'axis', 'axes')}"


def _said(datatype: object) -> str:
    """A caller's word as it is, anything else so that it stays on one line."""
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
