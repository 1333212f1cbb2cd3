"""GET /v2/models/stats and /v2/models/{model}[/versions/{version}]/stats: since the start, over all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter

from service.engine.resolve import answering, resolve_version
from service.engine.version import LoadedVersion
from service.http.deps import EngineDep, ScoreboardDep
from service.openinference.http.schemas import ModelName, ModelStatistics, ModelVersion, errors
from service.telemetry.scoreboard import Scoreboard
from service.telemetry.statistics import as_triton

router = APIRouter()


@router.get("/v2/models/stats", response_model=ModelStatistics, summary="Statistics of all models")
async def everything(engine: EngineDep, scoreboard: ScoreboardDep) -> dict[str, Any]:
    return _statistics(scoreboard, (served for name in engine.names() for served in answering(engine, name).values()))


@router.get(
    "/v2/models/{model}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a model",
    responses=errors(404, 503),
)
async def of_model(engine: EngineDep, scoreboard: ScoreboardDep, model: ModelName) -> dict[str, Any]:
    """Of every version that answers now."""
    return _statistics(scoreboard, answering(engine, model).values())


@router.get(
    "/v2/models/{model}/versions/{version}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a version",
    responses=errors(404, 503),
)
async def of_version(
    engine: EngineDep, scoreboard: ScoreboardDep, model: ModelName, version: ModelVersion
) -> dict[str, Any]:
    return _statistics(scoreboard, [resolve_version(engine, model, version)])


def _statistics(scoreboard: Scoreboard, versions: Iterable[LoadedVersion]) -> dict[str, Any]:
    snapshots = [state["numbers"]["statistics"] for state in scoreboard.all()]
    return {"model_stats": [as_triton(served.name, served.version, snapshots) for served in versions]}
