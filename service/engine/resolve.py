"""Resolves the version in a request: none, a number, or a label (`stable`, `canary`). It knows nothing of HTTP."""

from __future__ import annotations

from service.engine.engine import Engine
from service.engine.version import LoadedVersion
from service.errors import NoSuchModel

STABLE, CANARY = "stable", "canary"


def answering(engine: Engine, name: str) -> dict[str, LoadedVersion]:
    """The versions that answer requests for this model, by label; a shadow is not among them. Raises NoSuchModel."""
    if not name:
        raise NoSuchModel("No model is named; name one.")
    found = {STABLE: engine.served(name)}
    trial = engine.rollout(name)
    if trial and not trial.plan.shadow:
        found[CANARY] = trial.candidate
    return found


def resolve_version(engine: Engine, name: str, version: str = "") -> LoadedVersion:
    """The version with that number or label; the stable one if none is given. Raises NoSuchModel."""
    found = answering(engine, name)
    for label, served in found.items():
        if version in ("", label, str(served.version)):
            return served
    raise no_such_version(engine, name, version)


def no_such_version(engine: Engine, name: str, version: str) -> NoSuchModel:
    """The error for an unknown version; it lists the known ones."""
    there = " and ".join(f"{served.version} ({label})" for label, served in answering(engine, name).items())
    shown = version[:30] if version.isalnum() else repr(version[:30])
    return NoSuchModel(f"There is no version {shown} of {name} that answers here; there is {there}.")
