"""POST /predict: a body of any supported media type in, digits out. A hot path: every line costs every request."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.answers import csv_body, json_body
from service.api.schemas import PREDICT_OK, PREDICT_OPENAPI, Predictions, problem_responses
from service.context import Context
from service.digits import Probabilities
from service.engine.inference import Inference
from service.http.body import read_body, while_connected
from service.http.negotiation import preferred

JSON, CSV = ANSWERS = ("application/json", "text/csv")
PLAIN = {b"", b"*/*", b"application/json"}  # from nearly every client; means JSON without parsing q-values


class Predict:
    """The handler: plain ASGI for RequestMiddleware, and the function behind the documented FastAPI route."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        media_type, body = await self.answer(scope, receive)
        headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        """Content type and body of the answer. Raises DigitsError."""
        context = self._context
        content_type, accept, pinned = _headers(scope)
        if pinned:
            context.gate.require(scope["caller"], "admin")
        body = await read_body(scope, receive, context.settings)
        inference = context.inference(scope["request_id"], scope["caller"])
        running = self._decode_and_predict(inference, content_type.decode("latin-1"), body, pinned.decode("latin-1"))
        probabilities = await while_connected(running, receive, len(body))
        if accept not in PLAIN and preferred(accept.decode("latin-1"), ANSWERS) == CSV:
            answer = b"text/csv; charset=utf-8", await csv_body(probabilities)
        else:
            answer = b"application/json", await json_body(inference.version, probabilities)
        inference.finish()
        return answer

    async def _decode_and_predict(
        self, inference: Inference, content_type: str, body: bytes, pinned: str
    ) -> Probabilities:
        pixels = await self._context.decoder.decode(content_type, body)
        return await inference.predict(None, pinned, pixels)


def _headers(scope: Scope) -> tuple[bytes, bytes, bytes]:
    """Content-Type, Accept, and X-Model-Version, by which an admin chooses a version; each empty if absent."""
    content_type = accept = pinned = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = b"%b,%b" % (accept, value) if accept else value
        elif name == b"x-model-version":
            pinned = value
    return content_type, accept, pinned


def router(predict: Predict) -> APIRouter:
    """The same handler as a documented route; also used when this service is mounted in another application."""
    routes = APIRouter(tags=["predict"])

    @routes.post(
        "/predict",
        summary="Classify digits",
        response_model=Predictions,
        responses={
            200: PREDICT_OK,
            **problem_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503, 504),
        },
        openapi_extra=PREDICT_OPENAPI,
    )
    async def _(request: Request) -> Response:
        media_type, body = await predict.answer(request.scope, request.receive)
        return Response(body, media_type=media_type.decode())

    return routes
