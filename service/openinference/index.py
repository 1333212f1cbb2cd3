"""The index of the model repository: all published versions, and whether each is served."""

from __future__ import annotations

from typing import Any

from service.engine.engine import Engine
from service.engine.resolve import answering
from service.errors import BadRequest


def index(engine: Engine, only_ready: object = False) -> list[dict[str, str]]:
    """Name, version, state and reason of all versions, or of served versions only. Raises BadRequest."""
    if not isinstance(only_ready, bool):
        raise BadRequest("ready must be true or false.")
    entries = [entry for name in _names(engine) for entry in _entries(engine, name)]
    return [entry for entry in entries if entry["state"] == "READY" or not only_ready]


def check_load_parameters(parameters: dict[str, Any]) -> None:
    """Raise BadRequest for parameters that would override the published model or its configuration."""
    others = sorted(key for key in parameters if key == "config" or key.startswith("file:"))
    if others:
        raise BadRequest(f"Models are loaded as published; the parameter {others[0][:40]!r} is not supported.")


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
    promoted = engine.repository.labels(name).get("stable")
    if promoted == version:
        return engine.refused.get(name, "it is being loaded")
    return "another version is promoted" if promoted else "no version is promoted"
