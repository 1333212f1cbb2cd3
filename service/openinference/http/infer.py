"""POST /v2/models/{model}[/versions/{version}]/infer: tensors in, tensors out. A hot path."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.context import Context
from service.digits import Probabilities
from service.engine.resolve import resolve_version
from service.http.body import read_body, while_connected
from service.http.compression import compress
from service.openinference.answer import write
from service.openinference.http.schemas import INFER_OPENAPI, ModelName, ModelVersion, errors
from service.openinference.inference import lecture_of, limits_of, outputs_of, pixels_of, split_outputs
from service.openinference.request import InferenceRequest, read

ROUTE = "/v2/models/{model}/infer"
PATTERN = re.compile(r"POST /v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer")

Headers = list[tuple[bytes, bytes]]


class Infer:
    """The handler: plain ASGI for RequestMiddleware, and the function behind the documented FastAPI routes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = limits_of(context.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names: dict[str, str] = scope["path_params"]
        body, headers = await self.answer(scope, receive, names["model"], names["version"])
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive, name: str, version: str) -> tuple[bytes, Headers]:
        """Body and headers of the answer. Raises DigitsError."""
        context = self._context
        outputs = outputs_of(resolve_version(context.engine, name, version))  # answers 404 before reading the body
        header_length, accept = _protocol_headers(scope)
        body = await read_body(scope, receive, context.settings)
        inference = context.inference(scope["request_id"], scope["caller"])

        async def decode_and_predict() -> tuple[InferenceRequest, Probabilities]:
            request = await read(body, header_length, outputs, self._limits)
            pixels = await pixels_of(request, context)
            return request, await inference.predict(name, version, pixels, lecture_of(request))

        request, values = await while_connected(decode_and_predict(), receive, len(body))
        served = inference.version
        labels = served.model.classes() if any(output.classes for output in request.outputs) else []
        answer = await write(served.name, served.version, request, split_outputs(values, request), labels)
        inference.finish()
        return await _compressed(*answer, accept)


def _protocol_headers(scope: Scope) -> tuple[bytes, bytes]:
    """Inference-Header-Content-Length and Accept-Encoding, each empty if absent; repeated ones joined by commas."""
    header_length = accept = b""
    for name, value in scope["headers"]:
        if name == b"inference-header-content-length":
            header_length += (b"," if header_length else b"") + (
                value or b" "
            )  # an empty value differs from an absent header
        elif name == b"accept-encoding":
            accept += (b"," if accept else b"") + value
    return header_length, accept


async def _compressed(body: bytes, json_size: int, accept: bytes) -> tuple[bytes, Headers]:
    headers = [(b"content-type", b"application/octet-stream" if json_size else b"application/json")]
    if json_size:
        headers.append((b"inference-header-content-length", b"%d" % json_size))
    if accept:
        body, encoding = await compress(body, accept)
        if encoding:
            headers.append((b"content-encoding", encoding))
    return body, headers


def router(infer: Infer) -> APIRouter:
    """The handler as documented routes."""
    routes = APIRouter(responses=errors(400, 404, 408, 413, 415, 503, 504))

    async def one(request: Request, model: ModelName) -> Response:
        """Answered by the served version, or by the canary for its share of requests."""
        return await respond(request, model, "")

    async def version(request: Request, model: ModelName, version: ModelVersion) -> Response:
        """Answered by the version of this number or label: `stable` is the served version, `canary` the canary."""
        return await respond(request, model, version)

    async def respond(request: Request, model: str, version: str) -> Response:
        body, headers = await infer.answer(request.scope, request.receive, model, version)
        response = Response(body)
        response.raw_headers.extend(headers)
        return response

    summary = "Classify digits"
    routes.post(ROUTE, summary=summary, openapi_extra=INFER_OPENAPI, response_class=Response)(one)
    versioned = "/v2/models/{model}/versions/{version}/infer"
    routes.post(versioned, summary=f"{summary}, by version", openapi_extra=INFER_OPENAPI, response_class=Response)(
        version
    )
    return routes
