"""GET /v2/health/live, /v2/health/ready and /v2/models/{model}[/versions/{version}]/ready."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.http.deps import ContextDep
from service.openinference.http.schemas import Live, ModelName, ModelReady, ModelVersion, Ready, errors
from service.openinference.readiness import check_server, check_version

router = APIRouter()


@router.get("/v2/health/live", response_model=Live, summary="Liveness probe")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/v2/health/ready", response_model=Ready, summary="Readiness probe", responses=errors(503))
async def ready(context: ContextDep) -> dict[str, bool]:
    """200 if the default model is served and the service is not draining; otherwise 503."""
    check_server(context)
    return {"ready": True}


@router.get(
    "/v2/models/{model}/ready", response_model=ModelReady, summary="Readiness of a model", responses=errors(404, 503)
)
async def model_ready(context: ContextDep, model: ModelName) -> dict[str, Any]:
    return {"name": check_version(context, model), "ready": True}


@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    response_model=ModelReady,
    summary="Readiness of a version",
    responses=errors(404, 503),
)
async def version_ready(context: ContextDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return {"name": check_version(context, model, version), "ready": True}
