"""The only way from bytes to pixels: a body of any accepted media type in, uint8 (n, 28, 28) out.

Small bodies are decoded in one step. Large ones are decoded in pieces, with other requests in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from service.concurrency import BIG_BYTES
from service.digits import Pixels
from service.errors import BadRequest, UnsupportedMediaType
from service.inputs.arrays import from_npy, from_octets
from service.inputs.csv import from_csv
from service.inputs.form import files_of
from service.inputs.images import decode_image, is_small
from service.inputs.json import from_json
from service.inputs.pictures import decode_picture, decode_pictures
from service.inputs.pixels import INSTANCES
from service.settings import Settings

Decode = Callable[[bytes, int], Iterator[Pixels]]

BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


class BodyType(NamedTuple):
    """One media type: its decoder, and its JSON Schema for OpenAPI."""

    decode: Decode
    schema: dict[str, Any] = BINARY


DECODERS = {
    "application/json": BodyType(from_json, INSTANCES),
    "application/octet-stream": BodyType(from_octets),
    "application/x-npy": BodyType(from_npy),
    "text/csv": BodyType(from_csv, {"type": "string"}),
}
FORM = "multipart/form-data"
ACCEPTED = f"{', '.join((*DECODERS, 'image/*'))} or {FORM}"
SCHEMAS: dict[str, dict[str, Any]] = {  # of every media type that is read
    **{media_type: body_type.schema for media_type, body_type in DECODERS.items()},
    **{f"image/{kind}": BINARY for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")},
    FORM: {"type": "object", "properties": {"file": {"type": "array", "items": BINARY}}},
}
ADVICE = {
    "application/x-www-form-urlencoded": " This is curl's default: add, for example, -H 'Content-Type: image/png'.",
    "": " Set the header Content-Type.",
}


class Decoder:
    """Decodes bodies under the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._max_instances = settings.max_instances
        self._max_files = settings.max_files
        self._max_pixels = settings.max_image_pixels
        self._max_inline_bytes = min(BIG_BYTES, settings.max_body_bytes)

    def decode_inline(self, content_type: str, body: bytes) -> Pixels | None:
        """The digits of a body that takes well under a millisecond; None for all others. Raises DigitsError."""
        if not 0 < len(body) <= self._max_inline_bytes:
            return None
        media_type = _media_type(content_type)
        if body_type := DECODERS.get(media_type):
            first, *more = body_type.decode(body, self._max_instances)
            return None if more else first
        if media_type.startswith("image/") and is_small(body):
            return decode_image(body, self._max_pixels)[np.newaxis]
        return None

    async def decode(self, content_type: str, body: bytes) -> Pixels:
        """The digits of any body.

        Args:
            content_type: the header's value, with its parameters.
            body: decompressed.

        Raises:
            BadRequest: empty, or not what its media type says.
            InvalidValue: well-formed, but wrong values.
            PayloadTooLarge: more digits, files or pixels than one request may carry.
            UnsupportedMediaType: of a type that is not read here.
        """
        if not body:
            raise BadRequest(f"The body is empty; send {ACCEPTED}.")
        media_type = _media_type(content_type)
        if body_type := DECODERS.get(media_type):
            return await _joined(body_type.decode(body, self._max_instances), len(body))
        if media_type.startswith("image/"):
            return (await decode_picture(body, self._max_pixels))[np.newaxis]
        if media_type == FORM:
            files = await files_of(body, content_type, self._max_files)
            return await decode_pictures(files, self._max_pixels, "files")
        shown = media_type[:60] or "A body without a type"
        raise UnsupportedMediaType(f"{shown} is not read here; send {ACCEPTED}.{ADVICE.get(media_type, '')}")


@lru_cache(64)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _joined(pieces: Iterator[Pixels], size: int) -> Pixels:
    """All pieces as one array; between two pieces of a big body, other requests pass."""
    found = []
    for piece in pieces:
        found.append(piece)
        if size > BIG_BYTES:
            await asyncio.sleep(0)
    return found[0] if len(found) == 1 else np.concatenate(found)
