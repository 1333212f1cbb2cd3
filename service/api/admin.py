"""POST promote and rollback: change which version is served. Both need the admin key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.concurrency import run_in_threadpool

from service.api.models import numbered
from service.api.schemas import Promoted, problem_responses
from service.engine.validation import check
from service.errors import Conflict, ModelBroken
from service.http.deps import EngineDep, Name, WatcherDep, admin_only
from service.repository.writer import RepositoryWriter

router = APIRouter(
    tags=["models"], dependencies=[Depends(admin_only)], responses=problem_responses(401, 403, 404, 409, 422)
)


def _numbered(version: Annotated[str, Path(description="A published version's number.")]) -> int:
    """Labels are rejected: a label may have moved to another version by the time of the promotion."""
    return numbered(version, "for promote takes no labels")


Number = Annotated[int, Depends(_numbered)]


@router.post("/models/{name}/versions/{version}/promote", response_model=Promoted, summary="Serve this version")
async def promote(engine: EngineDep, watcher: WatcherDep, name: Name, version: Number) -> dict[str, Any]:
    """Validates the version, writes it to `current`, and answers once this worker serves it; other workers follow."""
    engine.repository.model_path(name, version)  # a version that does not exist is no conflict
    try:
        await check(engine.repository.root, name, version)
    except ModelBroken as error:
        raise Conflict(f"Version {version} is not promoted: {error}") from None
    await run_in_threadpool(RepositoryWriter(engine.repository.root).promote, name, version)
    return await _followed(engine, watcher, name)


@router.post("/models/{name}/rollback", response_model=Promoted, summary="Serve the version served before")
async def rollback(engine: EngineDep, watcher: WatcherDep, name: Name) -> dict[str, Any]:
    """Serves the previously served version."""
    await run_in_threadpool(RepositoryWriter(engine.repository.root).rollback, name)
    return await _followed(engine, watcher, name)


async def _followed(engine: EngineDep, watcher: WatcherDep, name: str) -> dict[str, Any]:
    await watcher.follow(name)
    version = None if name in engine.unloaded else engine.served(name).version
    return {"name": name, "version": version, "current": engine.repository.current(name)}
