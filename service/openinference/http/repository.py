"""POST /v2/repository/index, /v2/repository/models/{model}/load and …/unload: Triton's model repository extension."""

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

MAX_BYTES = 64 * 1024

router = APIRouter()
admin = APIRouter(dependencies=[Depends(admin_only)], responses=errors(400, 401, 403, 404, 413, 503))


async def _json(request: Request, settings: SettingsDep) -> dict[str, Any]:
    """The JSON body. Clients may send an empty one."""
    try:
        return _parsed(await read_body(request.scope, request.receive, settings, MAX_BYTES))
    except PayloadTooLarge:
        raise PayloadTooLarge(
            f"The body of this call may have at most {MAX_BYTES:,} bytes; send a small JSON object, or nothing."
        ) from None


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
async def index(engine: EngineDep, body: JsonDep) -> list[dict[str, str]]:
    """All published versions of all models, and whether each is served."""
    return repository_index(engine, body.get("ready", False))


@admin.post("/v2/repository/models/{model}/load", summary="Load a model", openapi_extra=_body(PARAMETERS))
async def load(watcher: WatcherDep, body: JsonDep, model: ModelName) -> dict[str, Any]:
    """Serves its promoted version as published; parameters that would override it are rejected."""
    check_load_parameters(_parameters(body))
    await watcher.load(model)
    return {}


@admin.post("/v2/repository/models/{model}/unload", summary="Unload a model", openapi_extra=_body(PARAMETERS))
async def unload(watcher: WatcherDep, body: JsonDep, model: ModelName) -> dict[str, Any]:
    """The model is not served until it is loaded again or the service restarts. Running requests are answered."""
    _parameters(body)
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


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    parameters = body.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object.")
    return parameters
