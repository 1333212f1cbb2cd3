"""POST /predict: a body of any accepted kind in, digits out. The hot path: everything here is paid by every caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.schemas import PREDICT_OPENAPI, Predictions, problem_responses
from service.concurrency import cooperate
from service.digits import Pixels, Probabilities
from service.engine.engine import Engine
from service.engine.version import LoadedVersion
from service.errors import BadRequest, DigitsError, InvalidValue, UnsupportedMediaType
from service.feedback.recent import RecentPredictions
from service.http.body import read_body, until_gone
from service.http.negotiation import preferred
from service.inputs import DECODERS
from service.inputs.form import files_of
from service.inputs.images import decode_image, is_small
from service.settings import Settings

BIG_BYTES = 64 * 1024
PIECE_ROWS = 512  # of an answer, in one go
JSON, CSV = ANSWERS = ("application/json", "text/csv")
PLAIN = {b"", b"*/*", b"application/json"}  # what nearly everybody sends, and what needs no thought
ACCEPTED = "application/json, image/*, multipart/form-data, application/octet-stream, application/x-npy or text/csv"
ADVICE = {
    "application/x-www-form-urlencoded": " curl sends this type unless told: add -H 'Content-Type: image/png', say.",
    "": " Say with Content-Type what the body is.",
}


class Predict:
    """The handler, as plain ASGI for the door and as a FastAPI route for everything else."""

    def __init__(self, engine: Engine, settings: Settings, recent: RecentPredictions) -> None:
        self._engine = engine
        self._settings = settings
        self._recent = recent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        media_type, body = await self.answer(scope, receive)
        headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def at_once(self, content_type: str, body: bytes) -> Pixels | None:
        """The digits of a body that takes well under a millisecond; None for all others. Raises DigitsError."""
        if not 0 < len(body) <= min(BIG_BYTES, self._settings.max_body_bytes):
            return None
        media_type = _media_type(content_type)
        if decoder := DECODERS.get(media_type):
            first, *more = decoder(body, self._settings.max_instances)
            return None if more else first
        if media_type.startswith("image/") and is_small(body):
            return decode_image(body, self._settings.max_image_pixels)[np.newaxis]
        return None

    async def answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        """Content type and body of the answer. Raises DigitsError."""
        content_type = accept = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"accept":
                accept = b"%b,%b" % (accept, value) if accept else value
        body = await read_body(scope, receive, self._settings)
        pixels = await self._decode(content_type.decode("latin-1"), body, scope)
        request_id = scope["request_id"]
        answered = self._engine.predict(None, request_id, pixels)
        served, probabilities = await (until_gone(answered, receive) if len(body) > BIG_BYTES else answered)
        self._recent.remember(request_id, served.name, served.version, pixels, probabilities)
        if accept not in PLAIN and preferred(accept.decode("latin-1"), ANSWERS) == CSV:
            return b"text/csv; charset=utf-8", as_csv(probabilities)
        if len(probabilities) > PIECE_ROWS:
            return b"application/json", b"".join(await cooperate(json_pieces(served, probabilities)))
        return b"application/json", as_json(served, probabilities)

    async def _decode(self, content_type: str, body: bytes, scope: Scope) -> Pixels:
        if not body:
            raise BadRequest(f"The body is empty; send {ACCEPTED}.")
        media_type = _media_type(content_type)
        if decoder := DECODERS.get(media_type):
            return await _joined(decoder(body, self._settings.max_instances), len(body))
        if media_type.startswith("image/"):
            return (await self._picture(body))[np.newaxis]
        if media_type == "multipart/form-data":
            return await self._files(body, Headers(scope=scope))
        shown = media_type[:60] or "A body without a type"
        raise UnsupportedMediaType(f"{shown} is not read here; send {ACCEPTED}.{ADVICE.get(media_type, '')}")

    async def _picture(self, data: bytes) -> Pixels:
        if is_small(data):
            return decode_image(data, self._settings.max_image_pixels)
        # Pillow lets other threads run while it decodes and scales
        return await asyncio.to_thread(decode_image, data, self._settings.max_image_pixels)

    async def _files(self, body: bytes, headers: Headers) -> Pixels:
        pictures = await files_of(body, headers, self._settings.max_files)
        return np.stack([await self._file(picture, index) for index, picture in enumerate(pictures)])

    async def _file(self, picture: bytes, index: int) -> Pixels:
        try:
            return await self._picture(picture)
        except InvalidValue as error:
            raise InvalidValue(f"files[{index}]: {error}", f"files[{index}]") from None
        except DigitsError as error:
            raise type(error)(f"files[{index}]: {error}") from None


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


def as_json(served: LoadedVersion, probabilities: Probabilities) -> bytes:
    """The documented answer: model, and digit, confidence and probabilities for each row."""
    model = {"name": served.name, "version": served.version}
    return orjson.dumps({"model": model, "predictions": _predictions(probabilities)}, option=orjson.OPT_SERIALIZE_NUMPY)


def json_pieces(served: LoadedVersion, probabilities: Probabilities) -> Iterator[bytes]:
    """The same, some tenths of a millisecond's work at a time."""
    yield as_json(served, probabilities[:0])[: -len(b"]}")]
    for start in range(0, len(probabilities), PIECE_ROWS):
        rows = _predictions(probabilities[start : start + PIECE_ROWS])
        yield b"," * bool(start) + orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]}"


def _predictions(probabilities: Probabilities) -> list[dict[str, Any]]:
    digits = probabilities.argmax(axis=1).tolist()
    return [  # as float32: a third shorter than the same numbers as Python's floats
        {"digit": digit, "confidence": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities)  # noqa: B905 - strict costs more than a digit's answer
    ]


def as_csv(probabilities: Probabilities) -> bytes:
    """Kaggle's submission: ImageId from 1, and the digit."""
    digits = probabilities.argmax(axis=1).tolist()
    return "\n".join(["ImageId,Label", *(f"{i},{digit}" for i, digit in enumerate(digits, 1)), ""]).encode()


def router(predict: Predict) -> APIRouter:
    """The same handler as a documented route, for those who mount this service inside another."""
    routes = APIRouter(tags=["predict"])

    @routes.post(
        "/predict",
        summary="Classify digits",
        response_model=Predictions,
        responses={
            200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
            **problem_responses(400, 408, 413, 415, 422, 503),
        },
        openapi_extra=PREDICT_OPENAPI,
    )
    async def _(request: Request) -> Response:
        media_type, body = await predict.answer(request.scope, request.receive)
        return Response(body, media_type=media_type.decode())

    return routes
