"""POST /v2/repository/index, /v2/repository/models/{model}/load and …/unload: what is there, what is served."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from service.errors import BadRequest, PayloadTooLarge
from service.http.body import read_body
from service.http.deps import EngineDep, SettingsDep, WatcherDep, admin_only
from service.inputs.json_chunks import loads
from service.openinference.http.schemas import IndexEntry, IndexRequest, ModelName, errors
from service.openinference.index import check_load_parameters
from service.openinference.index import index as repository_index

MOST_BYTES = 64 * 1024

router = APIRouter()
admin = APIRouter(dependencies=[Depends(admin_only)], responses=errors(400, 401, 403, 404, 413, 503))


async def _json(request: Request, settings: SettingsDep) -> dict[str, Any]:
    """The body, which may be empty: clients send it so."""
    try:
        return _parsed(await read_body(request.scope, request.receive, settings, MOST_BYTES))
    except PayloadTooLarge:
        raise PayloadTooLarge(f"This call takes at most {MOST_BYTES:,} bytes: a small object, or nothing.") from None


JsonDep = Annotated[dict[str, Any], Depends(_json)]


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}


PARAMETERS = {"type": "object", "properties": {"parameters": {"type": "object"}}}


@router.post(
    "/v2/repository/index",
    response_model=list[IndexEntry],
    summary="All published versions",
    responses=errors(400, 413),
    openapi_extra=_body(IndexRequest.model_json_schema()),
)
async def index(engine: EngineDep, asked: JsonDep) -> list[dict[str, str]]:
    """Of every model in the repository, and which of them are served."""
    return repository_index(engine, asked.get("ready", False))


@admin.post("/v2/repository/models/{model}/load", summary="Serve a model", openapi_extra=_body(PARAMETERS))
async def load(watcher: WatcherDep, asked: JsonDep, model: ModelName) -> dict[str, Any]:
    """Its promoted version, as it is published: with parameters that say otherwise the call is refused."""
    check_load_parameters(_parameters(asked))
    await watcher.load(model)
    return {}


@admin.post("/v2/repository/models/{model}/unload", summary="Serve a model no more", openapi_extra=_body(PARAMETERS))
async def unload(watcher: WatcherDep, asked: JsonDep, model: ModelName) -> dict[str, Any]:
    """Until it is loaded again, or the service starts anew. Requests in flight are answered."""
    _parameters(asked)
    await watcher.unload(model)
    return {}


router.include_router(admin)


def _parsed(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    document = loads(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object, or empty.")
    return document


def _parameters(asked: dict[str, Any]) -> dict[str, Any]:
    parameters = asked.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object.")
    return parameters
