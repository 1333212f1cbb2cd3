"""GET /metrics: Prometheus text, summed over all workers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

from service.engine.engine import Engine
from service.feedback import drift
from service.feedback.recent import RecentPredictions
from service.http.deps import EngineDep, FreshScoreboardDep, RecentDep
from service.telemetry.metrics import added_up, exposition, gauge
from service.telemetry.scoreboard import WorkerState

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(scoreboard: FreshScoreboardDep, engine: EngineDep, recent: RecentDep) -> Response:
    """Requests, batches, predicted classes, versions per worker, rollouts, and drift from the card's reference."""
    states = scoreboard.all()
    numbers = added_up(state["numbers"] for state in states)
    gauges = chain(_gauges([state for state in states if state["alive"]]), _trials(states), _drift(engine, recent))
    return Response(exposition(numbers, gauges), 200, {}, CONTENT_TYPE_LATEST)


def _gauges(alive: list[WorkerState]) -> Iterator[Metric]:
    yield gauge("digits_workers", "Running worker processes.", {(): len(alive)})
    yield gauge("digits_queue_rows", "Digits waiting or running.", {(): sum(state["queue_rows"] for state in alive)})
    refused: dict[tuple[str, ...], float] = {(name,): 1.0 for state in alive for name in state["refused"]}
    yield gauge("digits_candidate_refused", "1 while the promoted version is not served.", refused, ("model",))
    available = min(float(not state["trouble"]) for state in alive)
    text = "1 while all workers can read the models folder; 0 while one serves from memory only."
    yield gauge("digits_models_folder_available", text, {(): available})
    serving: dict[tuple[str, ...], float] = {}
    for state in alive:
        for name, version in state["live"].items():
            key = (name, str(version), state["provider"])
            serving[key] = serving.get(key, 0) + 1
    yield gauge("digits_serving_workers", "Workers that serve this version.", serving, ("model", "version", "provider"))


def _trials(states: list[WorkerState]) -> Iterator[Metric]:
    for what in ("requests", "errors", "compared", "disagreed", "dropped"):
        counts: dict[tuple[str, ...], float] = {}
        for state in states:
            for name, trial in state["trials"].items():
                key = (name, str(trial["version"]))
                counts[key] = counts.get(key, 0) + trial[what]
        yield gauge(f"digits_trial_{what}", f"Canary or shadow version: {what}.", counts, ("model", "version"))


def _drift(engine: Engine, recent: RecentPredictions) -> Iterator[Metric]:
    found: dict[tuple[str, ...], float] = {}
    for name in engine.names():
        served = engine.served(name)
        window = recent.window(name, served.version)
        for statistic, value in drift.indices(served.card.get("reference"), *window).items():
            found[name, str(served.version), statistic] = value
    text = "Population stability index of recent digits against the model card's; over 0.1 investigate, over 0.25 act."
    yield gauge("digits_drift_psi", text, found, ("model", "version", "statistic"))
