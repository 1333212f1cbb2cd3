"""The index of the model repository: all published versions, and whether each is served."""

from __future__ import annotations

from typing import Any

from service.context import Context
from service.engine.catalog import catalog
from service.engine.engine import Engine
from service.engine.resolve import answering
from service.errors import BadRequest
from service.repository.snapshot import Snapshot


async def index(context: Context, only_ready: object = False) -> list[dict[str, str]]:
    """Name, version, state and reason of all versions, or of served versions only.

    What cannot be read is an entry without a version.

    Raises:
        BadRequest: only_ready is not a boolean.
        Unavailable: the models folder does not answer.
    """
    if not isinstance(only_ready, bool):
        raise BadRequest("ready must be true or false.")
    engine = context.engine
    models = await catalog(engine.repository, context.volume)
    names = sorted({*models, *engine.names()})
    entries = [entry for name in names for entry in _entries(engine, name, models.get(name, Snapshot()))]
    return [entry for entry in entries if entry["state"] == "READY" or not only_ready]


def check_load_parameters(parameters: dict[str, Any]) -> None:
    """Raise BadRequest for parameters that would override the published model or its configuration."""
    others = sorted(key for key in parameters if key == "config" or key.startswith("file:"))
    if others:
        raise BadRequest(f"Models are loaded as published; the parameter {others[0][:40]!r} is not supported.")


def _entries(engine: Engine, name: str, found: Snapshot) -> list[dict[str, str]]:
    live = {served.version for served in answering(engine, name).values()} if name in engine.names() else set()
    reasons = {version: _reason(engine, name, version, found.current) for version in found.versions}
    reasons |= dict.fromkeys(live, "")
    entries = [_entry(name, str(version), version in live, reasons[version]) for version in sorted(reasons)]
    return entries + ([_entry(name, "", False, found.trouble)] if found.trouble else [])


def _entry(name: str, version: str, ready: bool, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": "READY" if ready else "UNAVAILABLE", "reason": reason}


def _reason(engine: Engine, name: str, version: int, promoted: int | None) -> str:
    if name in engine.unloaded:
        return "unloaded"
    if promoted == version:
        return engine.refused.get(name, "it is being loaded")
    return "another version is promoted" if promoted else "no version is promoted"
