"""The rollouts of one process: begun, judged on the counts of all workers, and ended, as the repository says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.engine import Engine
from service.engine.retries import Retries
from service.engine.rollout import Rollout
from service.engine.rollouts import Rollouts
from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan
from service.repository.snapshot import Snapshot, snapshot
from service.repository.volume import Volume
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from service.telemetry.metrics import Meter
from service.telemetry.scoreboard import Scoreboard
from tests.support.hostile import loops
from tests.support.models import card_for, classifier, publish, unlike

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

numbers = count()
COUNTS = {"requests": 50, "errors": 0, "compared": 50, "disagreed": 0, "dropped": 0}


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """What one serving process has: rollouts, and all that they need."""

    def __init__(self, root: Path, shared: Path | None = None, **settings: Any) -> None:
        self.writer = RepositoryWriter(root)
        self.meter = Meter()
        self.engine = Engine(Settings(models_dir=root, **settings), self.meter)
        self.engine.start()
        self.volume = Volume(30)
        self.scoreboard = Scoreboard(shared, lambda: self.engine.state() | {"numbers": {}})
        self.retries = Retries()
        self.rollouts = Rollouts(self.engine, self.volume, self.scoreboard, self.retries)

    def follow(self, seen: Snapshot | None = None) -> Rollout | None:
        """Look once. The rollout that runs then."""
        asyncio.run(self.rollouts.follow("digits", seen or snapshot(self.engine.repository, "digits")))
        return self.engine.rollout("digits")

    def predict(self, *values: int) -> int:
        """The version that answers."""
        served, _ = asyncio.run(
            self.engine.predict(None, b"any", np.stack([unlike(value, next(numbers)) for value in values]))
        )
        return served.version

    def last(self) -> dict[str, Any] | None:
        return Repository(self.engine.repository.root).last_rollout("digits")

    def verdict(self) -> str:
        last = self.last()
        assert last
        return str(last["verdict"])

    def close(self) -> None:
        self.engine.close()
        self.volume.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Version 1 is served; 2 gives the same answers, 3 others."""
    publish(tmp_path / "models")
    publish(tmp_path / "models", promote=False)
    publish(tmp_path / "models", shift=1, promote=False)
    return tmp_path / "models"


@pytest.fixture
def process(root: Path) -> Iterator[Process]:
    with closing(Process(root)) as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("service.engine.retries.monotonic", made)
    return made


def test_without_a_plan_nothing_runs(process: Process) -> None:
    assert process.follow() is None


def test_a_plan_is_begun_once(process: Process) -> None:
    plan = RolloutPlan(3, percent=100)
    process.writer.start_rollout("digits", plan)
    running = process.follow()
    assert running is not None
    assert (running.plan, running.candidate.version) == (plan, 3)
    assert process.predict(4) == 3
    assert process.follow() is running
    assert running.counts()["requests"] == 1


def test_another_plan_of_the_same_version_counts_anew(process: Process) -> None:
    process.writer.start_rollout("digits", RolloutPlan(2, percent=100))
    first = process.follow()
    assert process.predict(4) == 2
    process.writer.end_rollout("digits", first.plan, "stopped")  # type: ignore[union-attr]
    process.writer.start_rollout("digits", RolloutPlan(2, percent=100))
    second = process.follow()
    assert second is not None
    assert second is not first
    assert second.counts()["requests"] == 0


def test_a_rollout_that_was_ended_by_somebody_else_is_over(process: Process) -> None:
    plan = RolloutPlan(3, percent=100)
    process.writer.start_rollout("digits", plan)
    assert process.follow()
    process.writer.end_rollout("digits", plan, "rolled back: by hand")
    assert process.follow() is None
    assert process.predict(4) == 1
    assert process.verdict() == "rolled back: by hand"


def test_while_the_plan_cannot_be_read_the_rollout_goes_on(process: Process) -> None:
    process.writer.start_rollout("digits", RolloutPlan(3, percent=100))
    running = process.follow()
    process.predict(4)
    assert process.follow(Snapshot([1, 2, 3], "cannot be read", error="cannot be read")) is running
    assert process.engine.rollout("digits") is running
    assert running is not None
    assert running.counts()["requests"] == 1


def test_an_unloaded_model_has_no_rollout_and_begins_none(process: Process) -> None:
    process.writer.start_rollout("digits", RolloutPlan(3, percent=100))
    assert process.follow()
    process.engine.unload("digits")
    assert process.follow() is None
    assert process.last() is None, "nobody has judged it"


@pytest.mark.parametrize("verdict", ["promoted", "rolled back"])
def test_the_verdict_is_that_of_all_workers_together(root: Path, tmp_path: Path, verdict: str) -> None:
    """Neither has seen enough alone."""
    version = 2 if verdict == "promoted" else 3
    plan = RolloutPlan(version, percent=100, min_digits=60, client_share=1)
    with closing(Process(root, tmp_path / "shared")) as process:
        process.writer.start_rollout("digits", plan)
        running = process.follow()
        assert running
        for _ in range(3):
            process.predict(*range(10))
        running._thread.shutdown(wait=True)  # all are compared
        assert process.follow() is running
        assert running.counts()["compared"] == 30
        process.scoreboard.publish()
        [mine] = (tmp_path / "shared").glob("*.json")
        other = json.loads(mine.read_text()) | {"pid": os.getppid(), "trials": {"digits": running.counts() | COUNTS}}
        mine.with_name("1-1.json").write_text(json.dumps(other))
        assert process.follow() is None
        assert process.verdict().startswith(verdict)
        assert "of 80 digits" in process.verdict()
        assert process.writer.current("digits") == (2 if verdict == "promoted" else 1)


def test_counts_of_an_earlier_rollout_do_not_count(root: Path, tmp_path: Path) -> None:
    with closing(Process(root, tmp_path / "shared")) as process:
        process.writer.start_rollout("digits", RolloutPlan(2, percent=100, min_digits=10, client_share=1))
        running = process.follow()
        assert running
        process.scoreboard.publish()
        [mine] = (tmp_path / "shared").glob("*.json")
        earlier = {"trials": {"digits": running.counts() | COUNTS | {"id": "earlier"}}}
        mine.with_name("1-1.json").write_text(json.dumps(json.loads(mine.read_text()) | earlier))
        assert process.follow() is running


def test_a_candidate_that_must_not_be_served_is_rolled_back(process: Process, root: Path) -> None:
    (root / "digits/3/model.onnx").write_bytes(b"no model")
    process.writer.start_rollout("digits", RolloutPlan(3, percent=100))
    assert process.follow() is None
    assert process.verdict().startswith("rolled back: ")
    assert "SHA-256" in process.verdict()
    assert process.predict(4) == 1


def test_a_candidate_that_cannot_be_tried_now_is_tried_again_later(
    process: Process, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process.writer.start_rollout("digits", RolloutPlan(3, percent=100))
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr("sys.executable", "/no/such/python")
        assert process.follow() is None
        assert process.follow() is None  # not due yet
    assert [each.getMessage() for each in caplog.records] == [
        "digits version 3 cannot be tried yet, again in 1 s: "
        "Version 3 of digits could not be tried out (No such file or directory)."
    ]
    assert process.follow() is None
    assert process.last() is None
    clock.now += 1
    assert process.follow() is not None


def test_a_promotion_by_hand_ends_it(process: Process) -> None:
    process.writer.start_rollout("digits", RolloutPlan(2, percent=100))
    assert process.follow()
    process.writer.promote("digits", 2)
    process.engine.swap(process.engine.load("digits"))
    assert process.follow() is None
    assert process.verdict().startswith("promoted: by hand")


def test_a_candidate_that_is_served_already_waits_for_the_served_version_to_follow(process: Process) -> None:
    """`current` names it, and this process serves the version before it for a moment: nothing is judged."""
    process.writer.start_rollout("digits", RolloutPlan(2, percent=100))
    process.writer.promote("digits", 2)
    assert process.follow() is not None
    process.engine.swap(process.engine.load("digits"))
    assert process.follow() is None


def test_a_verdict_that_cannot_be_written_ends_it_here_and_is_written_later(
    process: Process, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    plan = RolloutPlan(3, percent=100, min_digits=10, client_share=1)
    process.writer.start_rollout("digits", plan)
    running = process.follow()
    assert running
    process.predict(*range(10))
    running._thread.shutdown(wait=True)
    lock = root / "digits/.lock"
    lock.unlink()
    lock.mkdir()  # so that nobody can write
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert process.follow() is None
            clock.now += 300
    assert len(caplog.records) == 1
    assert "cannot be ended yet" in caplog.text
    assert (process.predict(4), process.last()) == (1, None)
    lock.rmdir()
    assert process.follow() is None
    assert process.verdict().startswith("rolled back: 100.00% of 10 digits differ")
    assert snapshot(process.engine.repository, "digits").plan is None


def test_a_candidate_whose_runs_take_too_long_is_rolled_back(root: Path) -> None:
    looping = RepositoryWriter(root).publish("digits", lambda _: loops(), card_for(classifier()))
    with closing(Process(root, allowed_operators="Loop", run_timeout_s=0.3)) as process:
        process.writer.start_rollout("digits", RolloutPlan(looping, percent=100, max_errors=1.0))
        running = process.follow()
        assert running
        for _ in range(3):
            running.candidate.timeouts.add()
        assert process.follow() is None
        assert process.verdict().startswith(f"rolled back: digits version {looping} was taken out of service: 3 runs")


def test_a_shadow_whose_runs_take_too_long_is_ended_too(root: Path) -> None:
    """It answers nobody, and would keep a CPU busy for ever."""
    looping = RepositoryWriter(root).publish("digits", lambda _: loops(), card_for(classifier()))
    with closing(Process(root, allowed_operators="Loop", run_timeout_s=0.3)) as process:
        process.writer.start_rollout("digits", RolloutPlan(looping, shadow=True))
        running = process.follow()
        assert running
        for number in range(5):
            endless = unlike(3, number)[np.newaxis]
            endless[0, 27, 27] = 255
            served, _ = asyncio.run(process.engine.predict(None, b"any", endless))
            assert served.version == 1
        running._thread.shutdown(wait=True)  # all are compared
        assert running.counts()["errors"] == 5
        assert process.follow() is None
        assert process.verdict().startswith(f"rolled back: digits version {looping} was taken out of service: 3 runs")
    assert process.meter.events["run_timeouts digits"] == [3.0]
