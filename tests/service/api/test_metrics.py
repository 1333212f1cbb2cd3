"""GET /metrics: what Prometheus reads is what the workers of a service count and are, all of them together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.engine.rollout import Rollout
from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from service.telemetry.scoreboard import ALIVE_SECONDS
from tests.support.asgi import call
from tests.support.documentation import ROOT
from tests.support.models import card_for, classifier, publish, unlike

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

OCTETS = {"Content-Type": "application/octet-stream"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(app: FastAPI) -> Samples:
    """The samples of an answer, by name and labels."""
    answer = call(app, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def labels_of(found: Samples, name: str) -> list[dict[str, str]]:
    return [dict(labels) for each, labels in found if each == name]


def predict(app: FastAPI, *values: int, times: int = 1) -> None:
    for _ in range(times):
        assert (
            call(app, body=b"".join(unlike(value, value).tobytes() for value in values), headers=OCTETS).status == 200
        )


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """Two models, and a folder that several workers share."""
    data, root = classifier(), tmp_path / "models"
    reference = Repository(ROOT / "models").card("digits", 1)["reference"]
    version = RepositoryWriter(root).publish("digits", lambda _: data, card_for(data) | {"reference": reference})
    RepositoryWriter(root).promote("digits", version)
    publish(root, name="letters")
    (tmp_path / "shared").mkdir()
    made = create_app(Settings(models_dir=root, feedback_path=tmp_path / "f.sqlite", run_dir=tmp_path / "shared"))
    yield made
    made.state.context.engine.close()


def other_worker(app: FastAPI, pid: int = 1, age_s: float = 0.0, **changes: Any) -> None:
    """A worker beside this one, whose state is like this one's, as published `age_s` seconds ago, but for `changes`."""
    context = app.state.context
    [mine] = [each for each in context.scoreboard.all() if each["pid"] == os.getpid()]
    state = mine | {"pid": pid, "updated": mine["updated"] - age_s} | changes
    (context.settings.run_dir / f"{pid}-1.5.json").write_text(json.dumps(state))


def test_one_worker_that_has_answered_nothing(app: FastAPI) -> None:
    found = scrape(app)
    assert value(found, "digits_workers") == 1
    assert value(found, "digits_queue_rows") == 0
    assert value(found, "digits_models_folder_available") == 1
    assert labels_of(found, "digits_serving_workers") == [
        {"model": name, "version": "1", "provider": "cpu"} for name in ("digits", "letters")
    ]
    assert labels_of(found, "digits_candidate_refused") == labels_of(found, "digits_drift_psi") == []


def test_requests_batches_and_classes_are_counted(app: FastAPI) -> None:
    predict(app, 3, 3, 7)
    predict(app, 3)
    assert call(app, body=b"", headers=OCTETS).status == 400
    found, model = scrape(app), {"model": "digits", "version": "1"}
    answered = {"route": "/predict", "method": "POST"}
    assert value(found, "digits_request_duration_seconds_count", **answered, status="200") == 2
    assert value(found, "digits_request_duration_seconds_count", **answered, status="400") == 1
    assert (value(found, "digits_batch_rows_count", **model), value(found, "digits_batch_rows_sum", **model)) == (2, 4)
    classes = {str(digit): value(found, "digits_predictions_total", **model, digit=str(digit)) for digit in range(10)}
    assert {digit: count for digit, count in classes.items() if count} == {"3": 3, "7": 1}


def test_a_scrape_counts_in_the_next_one(app: FastAPI) -> None:
    labels = {"route": "/metrics", "method": "GET", "status": "200"}
    assert labels not in labels_of(scrape(app), "digits_request_duration_seconds_count")
    assert value(scrape(app), "digits_request_duration_seconds_count", **labels) == 1


def test_counters_and_gauges_of_all_workers_are_added_up(app: FastAPI) -> None:
    predict(app, 3, times=2)
    other_worker(app, queue_rows=7, live={"digits": 2})
    found = scrape(app)
    assert value(found, "digits_predictions_total", model="digits", version="1", digit="3") == 4
    assert value(found, "digits_workers") == 2
    assert value(found, "digits_queue_rows") == 7
    serving = {
        version: value(found, "digits_serving_workers", model="digits", version=version, provider="cpu")
        for version in ("1", "2")
    }
    assert serving == {"1": 1, "2": 1}
    other_worker(app, pid=2)
    assert value(scrape(app), "digits_serving_workers", model="digits", version="1", provider="cpu") == 2


def test_a_dead_worker_leaves_its_counters_and_nothing_else(app: FastAPI) -> None:
    """A counter that falls would be read as a restart; a gauge that stays would be read as a worker."""
    predict(app, 3, times=2)
    other_worker(app, age_s=2 * ALIVE_SECONDS, queue_rows=7, trouble="away", refused={"digits": "broken"})
    found = scrape(app)
    assert value(found, "digits_predictions_total", model="digits", version="1", digit="3") == 4
    assert (value(found, "digits_workers"), value(found, "digits_queue_rows")) == (1, 0)
    assert value(found, "digits_models_folder_available") == 1
    assert labels_of(found, "digits_candidate_refused") == []
    assert value(found, "digits_serving_workers", model="digits", version="1", provider="cpu") == 1


@pytest.mark.parametrize("whose", ["this worker's", "another's"])
def test_one_worker_that_cannot_read_the_models_folder(app: FastAPI, whose: str) -> None:
    if whose == "this worker's":
        other_worker(app)
        app.state.context.engine.trouble = "The models folder is not there."
    else:
        other_worker(app, trouble="The models folder is not there.")
    assert value(scrape(app), "digits_models_folder_available") == 0


def test_a_model_that_any_worker_refuses(app: FastAPI) -> None:
    app.state.context.engine.refused["letters"] = "It is broken."
    other_worker(app, refused={"digits": "It is broken.", "letters": "It is broken."})
    assert labels_of(scrape(app), "digits_candidate_refused") == [{"model": "letters"}, {"model": "digits"}]
    assert value(scrape(app), "digits_candidate_refused", model="letters") == 1


def test_a_rollout_is_added_up_over_workers_and_its_counts_stay_when_one_dies(app: FastAPI) -> None:
    engine = app.state.context.engine
    publish(engine.repository.root, shift=1, promote=False)
    running = Rollout(RolloutPlan(2, percent=100), engine.load("digits", 2))
    engine.swap_rollout("digits", running)
    predict(app, 3, 4)
    running._thread.shutdown(wait=True)  # both are compared
    other_worker(app)
    other_worker(app, pid=2, age_s=2 * ALIVE_SECONDS)
    found, labels = scrape(app), {"model": "digits", "version": "2"}
    counts = {what: value(found, f"digits_trial_{what}", **labels) for what in ("requests", "compared", "disagreed")}
    assert counts == {"requests": 3, "compared": 6, "disagreed": 6}
    assert value(found, "digits_trial_errors", **labels) == value(found, "digits_trial_dropped", **labels) == 0
    engine.swap_rollout("digits", None)


def test_events_without_a_label_are_there_before_they_happen(app: FastAPI) -> None:
    assert value(scrape(app), "digits_loop_stalls_total") == 0
    app.state.context.requests.event("loop_stalls")
    app.state.context.requests.event("task_failures", "watcher")
    other_worker(app)
    found = scrape(app)
    assert value(found, "digits_loop_stalls_total") == 2
    assert value(found, "digits_task_failures_total", task="watcher") == 2


def test_drift_of_the_version_that_is_served(app: FastAPI) -> None:
    """Nearly empty digits, of one class, are not what the card of the shipped model was written for."""
    predict(app, *[3] * 64, times=10)
    found = scrape(app)
    assert {tuple(sorted(each.items())) for each in labels_of(found, "digits_drift_psi")} == {
        (("model", "digits"), ("statistic", statistic), ("version", "1"))
        for statistic in ("classes", "confidence", "ink")
    }
    assert value(found, "digits_drift_psi", model="digits", version="1", statistic="classes") > 1


def test_digits_that_wait(app: FastAPI) -> None:
    admission = app.state.context.engine.admission
    admission.acquire(11)
    assert value(scrape(app), "digits_queue_rows") == 11
    admission.release(11)
    assert value(scrape(app), "digits_queue_rows") == 0
