"""Picture files, wherever they stand in a request -> digits: small ones in place, others in a thread.

Pillow lets other threads run while it decodes and scales.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable

import numpy as np

from service.digits import Pixels
from service.errors import DigitsError, InvalidValue
from service.inputs.images import decode_image, is_small

BLANKS = b" \t\r\n\v\f"


async def decode_picture(data: bytes, max_pixels: int, place: str = "") -> Pixels:
    """The digit in a picture file, uint8 (28, 28).

    Args:
        data: the file.
        max_pixels: the largest picture that is read.
        place: where in the request it stands, such as "files[2]": every refusal then begins with it.

    Raises:
        UnsupportedMediaType, BadRequest, PayloadTooLarge, InvalidValue: as images.decode_image says.
    """
    try:
        if is_small(data):
            return decode_image(data, max_pixels)
        return await asyncio.to_thread(decode_image, data, max_pixels)
    except DigitsError as error:
        if not place:
            raise
        raise _at(place, error) from None


async def decode_pictures(files: Iterable[bytes | memoryview], max_pixels: int, place: str) -> Pixels:
    """Several of them, uint8 (n, 28, 28). Between two pictures, other requests pass. A refusal names "place[i]"."""
    found = []
    for i, data in enumerate(files):
        found.append(await decode_picture(bytes(data), max_pixels, f"{place}[{i}]"))
        await asyncio.sleep(0)
    return np.stack(found)


def from_base64(text: object) -> bytes:
    """Text in base64 -> bytes, as TensorFlow Serving takes it: with line breaks, with or without padding.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(text, str):
        raise ValueError("no text")
    try:
        return base64.b64decode(text, validate=True)  # nearly always
    except ValueError:
        data = text.encode("ascii").translate(None, BLANKS)
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)


def _at(place: str, error: DigitsError) -> DigitsError:
    """The same refusal, saying where."""
    sentence = f"{place}: {error}"
    return InvalidValue(sentence, place) if isinstance(error, InvalidValue) else type(error)(sentence)
