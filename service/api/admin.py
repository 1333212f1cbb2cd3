"""POST promote and rollback: change which version is served. Both need the admin key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from service.api.models import numbered
from service.api.schemas import Promoted, problem_responses
from service.context import Context
from service.engine.validation import check
from service.errors import Conflict, InvalidValue, ModelBroken
from service.http.body import read_body
from service.http.deps import ContextDep, Name, admin_only
from service.repository.writer import RepositoryWriter

MAX_BODY_BYTES = 64 * 1024


async def _no_body(request: Request, context: ContextDep) -> None:
    """A body is never ignored: `{"version": 3}` sent to rollback would serve another version than 3."""
    body = await read_body(request.scope, request.receive, context.settings, MAX_BODY_BYTES)
    if body.strip() not in (b"", b"{}"):
        raise InvalidValue("This call takes no body: what it needs is in the path. Send it without one.", "body")


router = APIRouter(
    tags=["models"],
    dependencies=[Depends(admin_only), Depends(_no_body)],
    responses=problem_responses(401, 403, 404, 409, 413, 422, 429, 503),
)


def _numbered(version: Annotated[str, Path(description="A published version's number.")]) -> int:
    """Labels are rejected: a label may have moved to another version by the time of the promotion."""
    return numbered(version, "for promote takes no labels")


Number = Annotated[int, Depends(_numbered)]


@router.post("/models/{name}/versions/{version}/promote", response_model=Promoted, summary="Serve this version")
async def promote(context: ContextDep, name: Name, version: Number) -> dict[str, Any]:
    """Validates the version, writes it to `current`, and answers once this worker serves it; other workers follow."""
    engine = context.engine
    # a version that does not exist is no conflict
    await context.volume.call(engine.repository.model_path, name, version)
    try:
        await check(engine.repository.root, name, version, engine.settings.allowed_operators)
    except ModelBroken as error:
        raise Conflict(f"Version {version} is not promoted: {error}") from None
    await context.volume.write(RepositoryWriter(engine.repository.root).promote, name, version)
    return await _followed(context, name)


@router.post("/models/{name}/rollback", response_model=Promoted, summary="Serve the version served before")
async def rollback(context: ContextDep, name: Name) -> dict[str, Any]:
    """Serves the previously served version."""
    await context.volume.write(RepositoryWriter(context.engine.repository.root).rollback, name)
    return await _followed(context, name)


async def _followed(context: Context, name: str) -> dict[str, Any]:
    engine = context.engine
    await context.watcher.follow(name)
    version = None if name in engine.unloaded else engine.served(name).version
    current = await context.volume.call(engine.repository.current, name)
    return {"name": name, "version": version, "current": current}
