"""GET /v2/models/stats and /v2/models/{model}[/versions/{version}]/stats: since the start, over all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter

from service.board import Board
from service.choice import answering, find
from service.deps import BoardDep, EngineDep
from service.engine import Served
from service.routes.v2.schemas import ModelName, ModelStatistics, ModelVersion, errors
from service.statistics import as_triton

router = APIRouter()


@router.get("/v2/models/stats", response_model=ModelStatistics, summary="Statistics of all models")
async def everything(engine: EngineDep, board: BoardDep) -> dict[str, Any]:
    return _statistics(board, (served for name in engine.names() for served in answering(engine, name).values()))


@router.get(
    "/v2/models/{model}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a model",
    responses=errors(404, 503),
)
async def of_model(engine: EngineDep, board: BoardDep, model: ModelName) -> dict[str, Any]:
    """Of every version that answers now."""
    return _statistics(board, answering(engine, model).values())


@router.get(
    "/v2/models/{model}/versions/{version}/stats",
    response_model=ModelStatistics,
    summary="Statistics of a version",
    responses=errors(404, 503),
)
async def of_version(engine: EngineDep, board: BoardDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return _statistics(board, [find(engine, model, version)])


def _statistics(board: Board, versions: Iterable[Served]) -> dict[str, Any]:
    snapshots = [note["numbers"]["statistics"] for note in board.all()]
    return {"model_stats": [as_triton(served.name, served.version, snapshots) for served in versions]}
