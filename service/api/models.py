"""GET /model, /models, /models/{name}, /models/{name}/versions/{version}: served and published versions."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from service.api.schemas import ModelCard, ModelDetail, ModelList, ServedCard, problem_responses
from service.engine.catalog import catalog
from service.engine.engine import Engine
from service.errors import InvalidValue, NoSuchModel
from service.http.deps import ContextDep, EngineDep, Name, WantsText
from service.repository.rollout_plan import RolloutPlan
from service.repository.snapshot import Snapshot, snapshot
from service.telemetry.scoreboard import Scoreboard, rollout_counts

NUMBER = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
LABELS = ("stable", "canary")
TABLE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

router = APIRouter(tags=["models"])


async def _published(
    context: ContextDep,
    name: Name,
    version: Annotated[str, Path(description="A published version's number, or its label, stable or canary.")],
) -> int:
    if version not in LABELS:
        return numbered(version, "or a label, stable or canary")
    labels = await context.volume.call(context.engine.repository.labels, name)
    found = labels.get(version)
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


@router.get(
    "/models",
    response_model=ModelList,
    response_model_exclude_unset=True,
    summary="All models",
    responses=problem_responses(401, 403, 429, 503),
)
async def models(context: ContextDep) -> dict[str, Any]:
    """All models, and folders that cannot be read or are ignored: `refused` says why."""
    found = await catalog(context.engine.repository, context.volume)
    names = sorted({*found, *context.engine.names()})
    return {"models": [_versions(context.engine, name, found.get(name, Snapshot())) for name in names]}


@router.get(
    "/models/{name}",
    response_model=ModelDetail,
    response_model_exclude_unset=True,
    summary="One model and its versions",
    responses={**TABLE, **problem_responses(401, 403, 404, 422, 429, 503)},
)
async def one(context: ContextDep, name: Name, text: WantsText) -> Response | dict[str, Any]:
    """The live, the promoted and all published versions. With `Accept: text/plain`, the summary table."""
    engine, repository = context.engine, context.engine.repository
    model = await context.volume.call(snapshot, repository, name)
    if not model.is_model and name not in engine.names():
        names = sorted({*await context.volume.call(repository.names), *engine.names()})
        raise NoSuchModel(f"There is no model named {name[:64]!r}; the models are: {', '.join(names)}.")
    if text:
        return PlainTextResponse(_table(engine.served(name).card))
    last = await context.volume.call(repository.last_rollout, name)
    await context.scoreboard.refresh()
    plan = None if model.plan and model.plan.has_ended(last) else model.plan
    return _versions(engine, name, model) | {
        "labels": model.labels,
        "workers": _workers(context.scoreboard, name),
        "trial": plan and _trial(context.scoreboard, name, plan),
        "last_trial": last,
    }


@router.get(
    "/models/{name}/versions/{version}",
    response_model=ModelCard,
    summary="The card of one version",
    responses={**TABLE, **problem_responses(401, 403, 404, 409, 422, 429, 503)},
)
async def version(context: ContextDep, name: Name, number: Version, text: WantsText) -> Response:
    """Architecture, training data, options and accuracy. With `Accept: text/plain`, the summary table."""
    card = await context.volume.call(context.engine.repository.card, name, number)
    # not validated by response_model: a card may have unknown fields, and a wrong one must not cause a 500
    return PlainTextResponse(_table(card)) if text else JSONResponse(_shown(card) | {"name": name, "version": number})


def _workers(scoreboard: Scoreboard, name: str) -> list[dict[str, Any]]:
    return [
        {"pid": state["pid"], "version": state["live"].get(name), "refused": state["refused"].get(name)}
        for state in scoreboard.alive()
    ]


def _trial(scoreboard: Scoreboard, name: str, plan: RolloutPlan) -> dict[str, Any]:
    counts = rollout_counts(scoreboard.all(), name, plan.id)
    return {"version": plan.version, "percent": plan.percent, "shadow": plan.shadow, **counts}


def _shown(card: dict[str, Any]) -> dict[str, Any]:
    """The card without its self-test, which only loading needs."""
    return {key: value for key, value in card.items() if key != "self_test"}


def _table(card: dict[str, Any]) -> str:
    return str(card.get("summary", "")).rstrip() + "\n"


def _versions(engine: Engine, name: str, found: Snapshot) -> dict[str, Any]:
    live = engine.served(name).version if name in engine.names() else None
    shown = {"name": name, "version": live, "current": found.current, "versions": found.versions}
    refused = engine.refused.get(name) or found.trouble
    return shown | ({"refused": refused} if refused else {})
