"""Any picture -> a digit as MNIST has it. (Interim: the full version replaces this file.)"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from service.errors import BadRequest, InvalidValue, PayloadTooLarge, UnsupportedMediaType

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def decode_image(data: bytes, max_pixels: int = 16_000_000) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise BadRequest("The picture is empty; send a PNG, JPEG, WebP, BMP, GIF or TIFF file.")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedMediaType("This is no picture that is read here; send PNG, JPEG, WebP, BMP, GIF or TIFF.") from None
    except Exception:
        raise PayloadTooLarge("The picture is too large.") from None
    if picture.width * picture.height > max_pixels:
        raise PayloadTooLarge(f"The picture has {picture.width} x {picture.height} pixels; at most {max_pixels:,} are read.")
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            ground = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(ground, picture)
        if picture.mode.startswith("I;16") or picture.mode == "I":
            grey = (np.asarray(picture).astype(np.float64) / 257).clip(0, 255).astype(np.uint8)
        else:
            grey = np.asarray(picture.convert("L"))
    except Exception:
        raise BadRequest("The picture is truncated or damaged; send it again.") from None
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if grey.shape == (28, 28) and np.median(border) < 128:
        return np.array(grey)
    ink = 255 - grey if np.median(border) >= 128 else grey
    ink = np.where(ink > 100, ink, 0)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows) or min(grey.shape) < 2:
        raise InvalidValue("No ink was found in the picture; send one with a digit in it.", "image")
    crop = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = 20 / max(crop.size)
    crop = crop.resize((max(1, round(crop.width * scale)), max(1, round(crop.height * scale))), Image.Resampling.LANCZOS)
    small = np.asarray(crop).astype(np.float64)
    small = small / small.max() * 255
    mass = small.sum()
    y = int(np.clip(round(13.5 - (small.sum(1) @ np.arange(small.shape[0])) / mass), 0, 28 - small.shape[0]))
    x = int(np.clip(round(13.5 - (small.sum(0) @ np.arange(small.shape[1])) / mass), 0, 28 - small.shape[1]))
    digit = np.zeros((28, 28), np.uint8)
    digit[y : y + small.shape[0], x : x + small.shape[1]] = small.round().astype(np.uint8)
    return digit
