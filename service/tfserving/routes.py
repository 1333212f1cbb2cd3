"""/v1/models/...: the routes of TensorFlow Serving's REST API. Errors are {"error": "<sentence>"}."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.concurrency import BIG_BYTES
from service.context import Context
from service.digits import Pixels, Probabilities
from service.engine.inference import Inference
from service.engine.resolve import answering, no_such_version, resolve_version
from service.errors import BadRequest, NotFound, PayloadTooLarge
from service.http.body import read_body, while_connected
from service.http.deps import EngineDep, Name
from service.inputs.pictures import decode_picture
from service.inputs.pixels import DIGIT
from service.tfserving.answer import classify_answer, model_metadata, model_status, predict_answer
from service.tfserving.request import InferenceRequest, classify_request, predict_request

VERBS, METHODS = ("predict", "classify", "regress"), ["GET", "POST", "PUT", "PATCH", "DELETE"]
NO_REGRESSION = "regress is not supported, because a digit is a class and not a quantity. Use :predict or :classify."

Schema = dict[str, Any]
Verb = Callable[[bytes, str, str, Scope, Receive], Awaitable[bytes]]
Selector = Callable[..., str]  # a FastAPI dependency: path parameters -> number or label

ERROR: Schema = {
    "description": "Error; `error` says why",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
PICTURE = {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string", "format": "byte"}}}
ITEM = {"anyOf": [DIGIT, PICTURE, {"type": "object", "required": ["pixels"], "properties": {"pixels": DIGIT}}]}
DIGITS: Schema = {"type": "array", "minItems": 1, "items": ITEM}
PREDICT = {
    "oneOf": [
        {"type": "object", "required": ["instances"], "properties": {"instances": DIGITS}},
        {"type": "object", "required": ["inputs"], "properties": {"inputs": DIGITS}},
    ]
}
CLASSIFY = {
    "type": "object",
    "required": ["examples"],
    "properties": {
        "examples": {
            "type": "array",
            "items": {"type": "object", "required": ["pixels"], "properties": {"pixels": DIGIT}},
        }
    },
}


def _live() -> str:
    return ""


def _numbered(version: Annotated[str, Path(description="Number of a version that is served.")]) -> str:
    if not (version.isascii() and version.isdigit()):
        raise NotFound("A version is a whole number; labels are under /labels.")
    return version


def _labelled(
    engine: EngineDep, name: Name, label: Annotated[str, Path(description="stable, or canary while there is one.")]
) -> str:
    if label not in answering(engine, name):  # a version's number is not accepted as a label
        raise no_such_version(engine, name, label)
    return label


PATHS: dict[str, Selector] = {
    "/v1/models/{name}": _live,
    "/v1/models/{name}/versions/{version}": _numbered,
    "/v1/models/{name}/labels/{label}": _labelled,
}


class TensorFlowServing:
    """The verbs of the API: predict, classify, and regress, which is not supported."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings

    async def predict(self, body: bytes, name: str, version: str, scope: Scope, receive: Receive) -> bytes:
        inference = self._context.inference(scope["request_id"], scope["caller"])
        request = predict_request(body)
        probabilities = await self._answer(inference, request, len(body), name, version, receive)
        answer = await predict_answer(request, probabilities)
        inference.finish()
        return answer

    async def classify(self, body: bytes, name: str, version: str, scope: Scope, receive: Receive) -> bytes:
        inference = self._context.inference(scope["request_id"], scope["caller"])
        request = classify_request(body)
        probabilities = await self._answer(inference, request, len(body), name, version, receive)
        answer = await classify_answer(inference.version.model.classes(), probabilities)
        inference.finish()
        return answer

    async def regress(self, body: bytes, name: str, version: str, scope: Scope, receive: Receive) -> bytes:
        raise BadRequest(NO_REGRESSION)

    async def call(self, verb: Verb, name: str, version: str, scope: Scope, receive: Receive) -> bytes:
        """Read the body and return the JSON answer. Raises DigitsError."""
        resolve_version(self._context.engine, name, version)  # answers 404 before reading the body
        return await verb(await read_body(scope, receive, self._settings), name, version, scope, receive)

    def direct(self, name: str) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """`POST /v1/models/<name>:predict` as plain ASGI, past FastAPI's routing."""

        async def handler(scope: Scope, receive: Receive, send: Send) -> None:
            body = await self.call(self.predict, name, "", scope, receive)
            await Response(body, media_type="application/json")(scope, receive, send)

        return handler

    async def _answer(
        self, inference: Inference, request: InferenceRequest, size: int, name: str, version: str, receive: Receive
    ) -> Probabilities:
        async def decode_and_predict() -> Probabilities:
            return await inference.predict(name, version, await self._pixels(request, size))

        return await while_connected(decode_and_predict(), receive, size)

    async def _pixels(self, request: InferenceRequest, size: int) -> Pixels:
        found: list[Pixels] = []
        pictures = at = 0
        for piece in request.pieces(self._settings.max_instances):
            if piece is None:
                found, pictures, at = [], 0, 0
                await asyncio.sleep(0)
                continue
            if isinstance(piece, bytes):
                pictures += 1
                if pictures > self._settings.max_files:
                    raise PayloadTooLarge(f"At most {self._settings.max_files} pictures are accepted per request.")
                picture = await decode_picture(piece, self._settings.max_image_pixels, f"{request.place}[{at}]")
                piece = picture[np.newaxis]
            found.append(piece)
            at += len(piece)
            if size > BIG_BYTES:  # let other requests run between two pieces
                await asyncio.sleep(0)
        return found[0] if len(found) == 1 else np.concatenate(found)


def router(serving: TensorFlowServing) -> APIRouter:
    """All routes: for the served version, a version by number, and a version by label."""
    routes = APIRouter(tags=["TensorFlow Serving"], responses=dict.fromkeys((400, 401, 403, 404, 429), ERROR))
    routes.add_api_route("/v1/models", _names, methods=["GET"], summary="Names of the models that answer")
    for path, select in PATHS.items():
        nameless = path.rpartition("{")[0] + ":{verb}"  # else ":predict" would match as a name
        routes.add_api_route(nameless, _nameless, methods=METHODS, include_in_schema=False)
        _add_verb(routes, path, select, serving, serving.predict, PREDICT, "Classify digits")
        _add_verb(routes, path, select, serving, serving.classify, CLASSIFY, "Classify digits into labels and scores")
        _add_verb(routes, path, select, serving, serving.regress, {}, "Not supported for digits: always 400")
        routes.add_api_route(f"{path}:{{verb}}", _other, methods=METHODS, include_in_schema=False)
        _add_reads(routes, path, select)
    return routes


def _add_verb(
    routes: APIRouter, path: str, select: Selector, serving: TensorFlowServing, verb: Verb, schema: Schema, summary: str
) -> None:
    extra = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    more: dict[int | str, Schema] = {408: ERROR, 413: ERROR, 415: ERROR, 503: ERROR, 504: ERROR}

    @routes.post(f"{path}:{verb.__name__}", summary=summary, openapi_extra=extra, responses=more)
    async def _(request: Request, name: Name, version: str = Depends(select)) -> Response:
        body = await serving.call(verb, name, version, request.scope, request.receive)
        return Response(body, media_type="application/json")


async def _names(engine: EngineDep) -> dict[str, list[str]]:
    """As KServe's V1 protocol lists them; TensorFlow Serving has no such call."""
    return {"models": engine.names()}


async def _nameless(verb: str) -> None:
    raise NotFound(
        f"The model's name is missing before {f':{verb[:40]}'!r}; call /v1/models/<name>[/versions/<n>]:<verb>."
    )


async def _other(verb: str) -> None:
    """Any other method or verb."""
    if verb in VERBS:
        raise HTTPException(405, headers={"Allow": "POST"})
    raise NotFound(f"The verb is unknown; the verbs are: {', '.join(VERBS)}.")


def _add_reads(routes: APIRouter, path: str, select: Selector) -> None:
    @routes.get(path, summary="Status of the served versions")
    async def status(engine: EngineDep, name: Name, version: str = Depends(select)) -> dict[str, Any]:
        if version:
            return model_status([resolve_version(engine, name, version)])
        # name and ready are for KServe's clients; TensorFlow Serving's clients ignore unknown keys
        return {"name": name, "ready": True} | model_status(answering(engine, name).values())

    @routes.get(f"{path}/metadata", summary="Signature of the model")
    async def metadata(engine: EngineDep, name: Name, version: str = Depends(select)) -> dict[str, Any]:
        return model_metadata(resolve_version(engine, name, version))
