"""GET /v2/models/stats and /v2/models/{model}[/versions/{version}]/stats: Triton's statistics extension."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.http.deps import ContextDep
from service.openinference.http.schemas import ModelName, ModelStatistics, ModelVersion, errors
from service.openinference.statistics import statistics

router = APIRouter()


@router.get("/v2/models/stats", response_model=ModelStatistics, summary="Statistics of all models")
async def everything(context: ContextDep) -> dict[str, Any]:
    return await statistics(context)


@router.get(
    "/v2/models/{model}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a model",
    responses=errors(404, 503),
)
async def of_model(context: ContextDep, model: ModelName) -> dict[str, Any]:
    """Statistics of every served version."""
    return await statistics(context, model)


@router.get(
    "/v2/models/{model}/versions/{version}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a version",
    responses=errors(404, 503),
)
async def of_version(context: ContextDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return await statistics(context, model, version)
