"""POST /v2/models/{model}[/versions/{version}]/infer: tensors in, tensors out. As hot a path as /predict."""

from __future__ import annotations

import asyncio
import re
from time import perf_counter_ns

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.digits import Pixels, Probabilities
from service.engine.engine import Engine
from service.engine.model import CLASSES, LECTURE_OUTPUT, LECTURE_SHAPE, OUTPUT
from service.engine.resolve import predict, resolve_version
from service.engine.version import Lecture, LoadedVersion
from service.errors import DigitsError, Unavailable
from service.feedback.recent import RecentPredictions
from service.http.body import read_body, until_gone
from service.http.compression import compress
from service.inputs.images import decode_image, is_small
from service.openinference.answer import write
from service.openinference.http.schemas import INFER_OPENAPI, ModelName, ModelVersion, errors
from service.openinference.request import InferenceRequest, Limits, read
from service.openinference.tensors import IMAGE, Bytes, Floats
from service.settings import Settings

ROUTE = "/v2/models/{model}/infer"
PATTERN = re.compile(r"POST /v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer")
BIG_BYTES = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class Infer:
    """The handler, as plain ASGI for the door and as a FastAPI route for everything else."""

    def __init__(self, engine: Engine, settings: Settings, recent: RecentPredictions) -> None:
        self._engine = engine
        self._settings = settings
        self.recent = recent
        self.limits = Limits(settings.max_instances, settings.max_files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names: dict[str, str] = scope["path_params"]
        body, headers = await self.answer(scope, receive, names["model"], names["version"])
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive, name: str, version: str) -> tuple[bytes, Headers]:
        """Body and headers of the answer. Raises DigitsError."""
        served = resolve_version(
            self._engine, name, version
        )  # who asks for a model that is not there need not send a good body
        header_length, accept = _protocol_headers(scope)
        body = await read_body(scope, receive, self._settings)
        began = perf_counter_ns()
        asked = await read(body, header_length, outputs_of(served), self.limits)
        pixels = await self.pixels(asked)
        decoded = perf_counter_ns()
        request_id = scope["request_id"]
        answered = predict(self._engine, name, version, request_id, pixels, lecture_of(asked))
        served, values = await (until_gone(answered, receive) if len(body) > BIG_BYTES else answered)
        returned = perf_counter_ns()
        self.recent.remember(request_id, served.name, served.version, pixels, values[:, :CLASSES])
        labels = served.model.classes() if any(wanted.classes for wanted in asked.outputs) else []
        answer = await write(served.name, served.version, asked, split_outputs(values, asked), labels)
        served.statistics.converted(served.key, decoded - began, perf_counter_ns() - returned)
        return await _packed(*answer, accept)

    async def pixels(self, asked: InferenceRequest) -> Pixels:
        """The digits of a request, its pictures decoded."""
        if asked.pixels is not None:
            return asked.pixels
        found = []
        for i, picture in enumerate(asked.pictures):
            try:
                found.append(await self._picture(picture))
            except DigitsError as error:
                raise type(error)(f"{IMAGE}[{i}]: {error}") from None
            await asyncio.sleep(0)  # between two pictures, other requests pass
        return np.stack(found)

    async def _picture(self, picture: Bytes) -> Pixels:
        data, most = bytes(picture), self._settings.max_image_pixels
        if is_small(data):
            return decode_image(data, most)
        return await asyncio.to_thread(decode_image, data, most)


def outputs_of(served: LoadedVersion) -> list[str]:
    """Names of the outputs that may be asked for."""
    return [OUTPUT, LECTURE_OUTPUT] if served.model.has_lecture_output else [OUTPUT]


def _protocol_headers(scope: Scope) -> tuple[bytes, bytes]:
    """Inference-Header-Content-Length and Accept-Encoding, empty where they are not there; of several all."""
    header_length = accept = b""
    for name, value in scope["headers"]:
        if name == b"inference-header-content-length":
            header_length += (b"," if header_length else b"") + (value or b" ")  # an empty one is there, and no number
        elif name == b"accept-encoding":
            accept += (b"," if accept else b"") + value
    return header_length, accept


def lecture_of(asked: InferenceRequest) -> Lecture:
    """Whether the lecture's output is named, or, as none is, meant with all that there are."""
    if asked.names(LECTURE_OUTPUT):
        return Lecture.REQUIRED
    return Lecture.UNWANTED if asked.outputs else Lecture.OPTIONAL


def split_outputs(values: Probabilities, asked: InferenceRequest) -> dict[str, Floats]:
    outputs, cells = {OUTPUT: values[:, :CLASSES]}, values[:, CLASSES:]
    if cells.size:
        outputs[LECTURE_OUTPUT] = cells.reshape(-1, *LECTURE_SHAPE)
    elif asked.names(LECTURE_OUTPUT):  # between the question and the answer another version was promoted
        raise Unavailable(f"The model that is served since a moment ago has no {LECTURE_OUTPUT}; ask it again.")
    return outputs


async def _packed(body: bytes, json_size: int, accept: bytes) -> tuple[bytes, Headers]:
    headers = [(b"content-type", b"application/octet-stream" if json_size else b"application/json")]
    if json_size:
        headers.append((b"inference-header-content-length", b"%d" % json_size))
    if accept:
        body, encoding = await compress(body, accept)
        if encoding:
            headers.append((b"content-encoding", encoding))
    return body, headers


def router(infer: Infer) -> APIRouter:
    """The same handler as documented routes."""
    routes = APIRouter(responses=errors(400, 404, 408, 413, 415, 503))

    async def one(request: Request, model: ModelName) -> Response:
        """The version that is served answers, or a canary its share of requests."""
        return await respond(request, model, "")

    async def version(request: Request, model: ModelName, version: ModelVersion) -> Response:
        """That number's version answers, or that label's: `stable` is the served one, `canary` the one on trial."""
        return await respond(request, model, version)

    async def respond(request: Request, model: str, version: str) -> Response:
        body, headers = await infer.answer(request.scope, request.receive, model, version)
        response = Response(body)
        response.raw_headers.extend(headers)
        return response

    summary = "Infer"
    routes.post(ROUTE, summary=summary, openapi_extra=INFER_OPENAPI, response_class=Response)(one)
    versioned = "/v2/models/{model}/versions/{version}/infer"
    routes.post(versioned, summary=f"{summary}, by version", openapi_extra=INFER_OPENAPI, response_class=Response)(
        version
    )
    return routes
