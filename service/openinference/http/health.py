"""GET /v2/health/live, /v2/health/ready and /v2/models/{model}[/versions/{version}]/ready."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.engine.resolve import resolve_version
from service.errors import Unavailable
from service.http.deps import DrainDep, EngineDep
from service.openinference.http.schemas import Live, ModelName, ModelReady, ModelVersion, Ready, errors

router = APIRouter()


@router.get("/v2/health/live", response_model=Live, summary="Does the server answer?")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/v2/health/ready", response_model=Ready, summary="Can the server infer?", responses=errors(503))
async def ready(engine: EngineDep, drain: DrainDep) -> dict[str, bool]:
    """200 while the default model is served and the service is not draining."""
    if drain.leaving:
        raise Unavailable("This instance is stopping; ask another one.")
    engine.served()
    return {"ready": True}


@router.get(
    "/v2/models/{model}/ready", response_model=ModelReady, summary="Is the model served?", responses=errors(404, 503)
)
async def model_ready(engine: EngineDep, model: ModelName) -> dict[str, Any]:
    return {"name": resolve_version(engine, model).name, "ready": True}


@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    response_model=ModelReady,
    summary="Is the version served?",
    responses=errors(404, 503),
)
async def version_ready(engine: EngineDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return {"name": resolve_version(engine, model, version).name, "ready": True}
