"""POST /v2/repository/index, /v2/repository/models/{model}/load and …/unload: what is there, what is served."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from service.engine.engine import Engine
from service.engine.resolve import answering
from service.errors import BadRequest, PayloadTooLarge
from service.http.body import read_body
from service.http.deps import EngineDep, SettingsDep, WatcherDep, admin_only
from service.inputs.json_chunks import loads
from service.openinference.http.schemas import IndexEntry, IndexRequest, ModelName, errors

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
    only_ready = asked.get("ready", False)
    if not isinstance(only_ready, bool):
        raise BadRequest("ready must be true or false.")
    entries = [entry for name in _names(engine) for entry in _entries(engine, name)]
    return [entry for entry in entries if entry["state"] == "READY" or not only_ready]


@admin.post("/v2/repository/models/{model}/load", summary="Serve a model", openapi_extra=_body(PARAMETERS))
async def load(watcher: WatcherDep, asked: JsonDep, model: ModelName) -> dict[str, Any]:
    """Its promoted version, as it is published: with parameters that say otherwise the call is refused."""
    others = sorted(key for key in _parameters(asked) if key == "config" or key.startswith("file:"))
    if others:
        raise BadRequest(f"A model is loaded as it is published; the parameter {others[0][:40]!r} is not taken.")
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


def _names(engine: Engine) -> list[str]:
    return sorted({*engine.repository.names(), *engine.names()})


def _entries(engine: Engine, name: str) -> list[dict[str, str]]:
    live = {served.version for served in answering(engine, name).values()} if name in engine.names() else set()
    versions = sorted({*engine.repository.versions(name), *live})
    return [_entry(engine, name, version, version in live) for version in versions]


def _entry(engine: Engine, name: str, version: int, ready: bool) -> dict[str, str]:
    reason = "" if ready else _reason(engine, name, version)
    return {"name": name, "version": str(version), "state": "READY" if ready else "UNAVAILABLE", "reason": reason}


def _reason(engine: Engine, name: str, version: int) -> str:
    if name in engine.unloaded:
        return "unloaded"
    if engine.repository.labels(name).get("stable") == version:
        return engine.refused.get(name, "it is being loaded")
    return "another version is promoted"
