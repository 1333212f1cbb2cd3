"""GET /model, /models, /models/{name}, /models/{name}/versions/{version}: served and published versions."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from service.api.schemas import ModelCard, ModelDetail, ModelList, ServedCard, problem_responses
from service.engine.engine import Engine
from service.errors import DigitsError, InvalidValue, NoSuchModel
from service.http.deps import EngineDep, Name, ScoreboardDep, WantsText
from service.telemetry.scoreboard import Scoreboard, rollout_counts

NUMBER = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
LABELS = ("stable", "canary")
TABLE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

router = APIRouter(tags=["models"])


def _published(
    engine: EngineDep,
    name: Name,
    version: Annotated[str, Path(description="A published version's number, or its label, stable or canary.")],
) -> int:
    if version not in LABELS:
        return numbered(version, "or a label, stable or canary")
    found = engine.repository.labels(name).get(version)
    if found is None:
        raise NoSuchModel(f"There is no {version} version of {name[:64]!r}; give its number.")
    return found


def numbered(version: str, otherwise: str) -> int:
    """The number of a version. Raises InvalidValue, whose message names the alternative `otherwise`."""
    if not NUMBER.fullmatch(version):
        raise InvalidValue(f"{version[:20]!r} is no version number; give 1 or more, {otherwise}.", "path.version")
    return int(version)


Version = Annotated[int, Depends(_published)]


@router.get("/model", response_model=ServedCard, summary="The served model", responses=TABLE)
async def model(engine: EngineDep, text: WantsText) -> Response:
    """Card of the version that answers /predict. With `Accept: text/plain`, Keras' summary table, as in the lecture."""
    served = engine.served()
    if text:
        return PlainTextResponse(_table(served.card))
    here = {"name": served.name, "version": served.version, "provider": served.model.provider}
    return JSONResponse(_shown(served.card) | served.model.signature() | here)


@router.get("/models", response_model=ModelList, summary="All models")
async def models(engine: EngineDep) -> dict[str, Any]:
    return {"models": [_versions(engine, name) for name in _names(engine)]}


@router.get(
    "/models/{name}",
    response_model=ModelDetail,
    summary="One model and its versions",
    responses={**TABLE, **problem_responses(404, 422)},
)
async def one(engine: EngineDep, scoreboard: ScoreboardDep, name: Name, text: WantsText) -> Response | dict[str, Any]:
    """The live, the promoted and all published versions. With `Accept: text/plain`, the summary table."""
    if name not in _names(engine):
        known = ", ".join(_names(engine))
        raise NoSuchModel(f"There is no model named {name[:64]!r}; the models are: {known}.")
    if text:
        return PlainTextResponse(_table(engine.served(name).card))
    return _versions(engine, name) | _now(engine, scoreboard, name)


@router.get(
    "/models/{name}/versions/{version}",
    response_model=ModelCard,
    summary="The card of one version",
    responses={**TABLE, **problem_responses(404, 422)},
)
async def version(engine: EngineDep, name: Name, number: Version, text: WantsText) -> Response:
    """Architecture, training data, options and accuracy. With `Accept: text/plain`, the summary table."""
    card = engine.repository.card(name, number)
    # not validated by response_model: a card may have unknown fields, and a wrong one must not cause a 500
    return PlainTextResponse(_table(card)) if text else JSONResponse(_shown(card) | {"name": name, "version": number})


def _now(engine: Engine, scoreboard: Scoreboard, name: str) -> dict[str, Any]:
    states = scoreboard.alive()
    workers = [
        {"pid": state["pid"], "version": state["live"].get(name), "refused": state["refused"].get(name)}
        for state in states
    ]
    plan = engine.repository.rollout(name)
    trial = plan and {
        "version": plan.version,
        "percent": plan.percent,
        "shadow": plan.shadow,
        **rollout_counts(scoreboard.all(), name, plan.id),
    }
    repository = engine.repository
    return {
        "labels": repository.labels(name),
        "workers": workers,
        "trial": trial,
        "last_trial": repository.last_rollout(name),
    }


def _shown(card: dict[str, Any]) -> dict[str, Any]:
    """The card without its self-test, which only loading needs."""
    return {key: value for key, value in card.items() if key != "self_test"}


def _table(card: dict[str, Any]) -> str:
    return str(card.get("summary", "")).rstrip() + "\n"


def _names(engine: Engine) -> list[str]:
    return sorted({*engine.repository.names(), *engine.names()})


def _versions(engine: Engine, name: str) -> dict[str, Any]:
    live = engine.served(name).version if name in engine.names() else None
    try:
        current = engine.repository.current(name)
    except DigitsError:
        current = None
    return {"name": name, "version": live, "current": current, "versions": engine.repository.versions(name)}
