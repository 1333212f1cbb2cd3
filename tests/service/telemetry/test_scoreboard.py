"""The scoreboard: what workers of one service publish for each other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from service.telemetry.scoreboard import ALIVE_SECONDS, Scoreboard, rollout_counts


def worker(folder: Path, pid: int, age: float = 0.0, **state: Any) -> None:
    """The file of another worker, written `age` seconds ago."""
    own = Scoreboard(None, dict).all()[0]
    document = own | {"pid": pid, "updated": own["updated"] - age} | state
    (folder / f"{pid}-{own['started']:.6f}.json").write_text(json.dumps(document))


def test_a_single_worker_uses_no_files(tmp_path: Path) -> None:
    board = Scoreboard(None, lambda: {"live": {"digits": 1}})
    board.publish()
    [state] = board.all()
    assert (state["pid"], state["alive"], state["live"]) == (os.getpid(), True, {"digits": 1})
    assert list(tmp_path.iterdir()) == []


def test_what_is_published_is_read_and_our_own_state_is_current(tmp_path: Path) -> None:
    state = {"live": {"digits": 1}}
    board = Scoreboard(tmp_path, lambda: state)
    board.publish()
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["live"] == {"digits": 1}
    state["live"] = {"digits": 2}
    assert [one["live"] for one in board.all()] == [{"digits": 2}]
    board.publish()
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["live"] == {"digits": 2}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_worker_that_stopped_publishing_is_dead_and_its_counters_stay(tmp_path: Path) -> None:
    board = Scoreboard(tmp_path, dict)
    worker(tmp_path, 2**22 + 1)
    worker(tmp_path, 2**22 + 2, age=2 * ALIVE_SECONDS)
    assert {state["pid"]: state["alive"] for state in board.all()} == {
        os.getpid(): True,
        2**22 + 1: True,
        2**22 + 2: False,
    }
    assert [state["pid"] for state in board.alive()] == sorted([os.getpid(), 2**22 + 1])


def test_a_worker_with_our_process_id_that_started_earlier_is_another(tmp_path: Path) -> None:
    """In a container every start may have the same process id."""
    board = Scoreboard(tmp_path, dict)
    worker(tmp_path, os.getpid(), started=1.0)
    assert [state["pid"] for state in board.all()] == [os.getpid()] * 2


@pytest.mark.parametrize("shared", [False, True])
def test_unloaded_models(tmp_path: Path, shared: bool) -> None:
    board = Scoreboard(tmp_path if shared else None, dict)
    other = Scoreboard(tmp_path, dict) if shared else board
    board.unload("digits")
    board.unload("letters")
    board.unload("digits")
    assert other.unloaded() == {"digits", "letters"}
    other.load("digits")
    other.load("digits")
    assert board.unloaded() == {"letters"}


def test_counts_of_a_rollout_are_summed_over_workers_and_not_over_plans() -> None:
    def state(plan: str, number: int) -> dict[str, Any]:
        counts = {"id": plan, "requests": number, "errors": 1, "compared": 2 * number, "disagreed": 0}
        return {"trials": {"digits": counts}}

    states = [state("a", 10), state("b", 100), state("a", 5), {"trials": {}}]
    assert rollout_counts(states, "digits", "a") == {"requests": 15, "errors": 2, "compared": 30, "disagreed": 0}
    assert rollout_counts(states, "letters", "a") == {"requests": 0, "errors": 0, "compared": 0, "disagreed": 0}
