"""Canary and shadow: who is answered by which version, what is counted, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.engine.rollout import Rollout
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.models import digit, publish, unlike
from tests.support.server import Server

OCTETS = {"content-type": "application/octet-stream"}
PATIENCE_S = 60


def test_a_request_id_always_falls_to_the_same_version() -> None:
    trial = Rollout(RolloutPlan(2, percent=5), candidate=None)  # type: ignore[arg-type]
    ids = [b"request-%d" % i for i in range(20_000)]
    fell = [trial.falls_to_candidate(one) for one in ids]
    assert fell == [trial.falls_to_candidate(one) for one in ids]
    assert 0.04 < sum(fell) / len(fell) < 0.06


def until(server: Server, true_of: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while not true_of(found := server.client.get("/models/digits").json()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return dict(found)


numbers = count()


def ask(server: Server, request_id: str, *values: int) -> dict[str, Any]:
    """Predictions of digits that were never sent before."""
    headers = OCTETS | {"x-request-id": request_id}
    body = b"".join(unlike(value, next(numbers) % 2**16).tobytes() for value in values)
    answer = server.client.post("/predict", content=body, headers=headers)
    assert answer.headers["x-request-id"] == request_id
    return dict(answer.raise_for_status().json())


def on_trial(found: dict[str, Any]) -> bool:
    return found["trial"] is not None and found["trial"]["requests"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_canary_that_agrees_promotes_itself(tmp_path: Path, workers: int) -> None:
    publish(tmp_path)
    publish(tmp_path, promote=False)  # the same answers
    with Server(tmp_path, workers=workers) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=50, min_digits=200, client_share=1))
        versions = set()
        deadline = time.monotonic() + PATIENCE_S
        number = 0
        while server.client.get("/models/digits").json()["current"] != 2:
            assert time.monotonic() < deadline
            for _ in range(20):
                number += 1
                found = ask(server, f"r{number}", number % 10)
                versions.add(found["model"]["version"])
                assert found["predictions"][0]["digit"] == number % 10
        ended = until(server, lambda found: all(w["version"] == 2 for w in found["workers"]) and not found["trial"])
        assert ended["last_trial"]["verdict"].startswith("promoted: 0.00%")
    assert versions == {1, 2}


@pytest.mark.slow
def test_a_canary_that_disagrees_is_rolled_back(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    with Server(tmp_path) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=100, min_digits=50, client_share=1))
        deadline = time.monotonic() + PATIENCE_S
        while server.client.get("/models/digits").json()["last_trial"] is None:
            assert time.monotonic() < deadline
            found = ask(server, "any", 3, 4)
            shift = found["model"]["version"] - 1
            assert [p["digit"] for p in found["predictions"]] == [3 + shift, 4 + shift]
        ended = until(server, lambda found: found["trial"] is None)
        assert ended["version"] == ended["current"] == 1
        assert ended["last_trial"]["verdict"].startswith("rolled back: 100.00%")
        assert ask(server, "any", 3)["model"]["version"] == 1


@pytest.mark.slow
def test_a_shadow_answers_nobody_and_counts(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    with Server(tmp_path) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, shadow=True, min_digits=1000, client_share=1))
        deadline = time.monotonic() + PATIENCE_S
        while not on_trial(server.client.get("/models/digits").json()):
            assert time.monotonic() < deadline
            assert ask(server, "any", 3)["model"]["version"] == 1
        for _ in range(30):
            assert ask(server, "any", 3)["model"]["version"] == 1
        seen = until(server, lambda found: found["trial"]["compared"] >= 30)["trial"]
        assert seen["disagreed"] == seen["compared"]
        metrics = server.client.get("/metrics").text
        assert f'digits_trial_disagreed{{model="digits",version="2"}} {seen["disagreed"]}.0' in metrics


@pytest.mark.slow
def test_a_candidate_that_is_promoted_by_hand_is_on_trial_no_more(tmp_path: Path) -> None:
    """Else a rollback would begin the trial anew."""
    publish(tmp_path)
    publish(tmp_path, promote=False)
    with Server(tmp_path) as server:
        writer = RepositoryWriter(tmp_path)
        writer.start_rollout("digits", RolloutPlan(2, percent=100))
        until(server, lambda found: ask(server, "any", 3) and on_trial(found))
        writer.promote("digits", 2)
        ended = until(server, lambda found: found["last_trial"] is not None)
        assert ended["trial"] is None
        assert ended["last_trial"]["verdict"].startswith("promoted: by hand")
        writer.rollback("digits")
        until(server, lambda found: found["version"] == 1)
        assert server.client.get("/models/digits").json()["trial"] is None


@pytest.mark.slow
def test_a_broken_candidate_ends_its_trial_and_harms_nobody(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, promote=False)
    (tmp_path / "digits" / "2" / "model.onnx").write_bytes(digit(3).tobytes())
    with Server(tmp_path) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=100))
        ended = until(server, lambda found: found["last_trial"] is not None)
        assert ended["trial"] is None
        assert "SHA-256" in ended["last_trial"]["verdict"]
        assert ask(server, "any", 3)["model"]["version"] == 1


@pytest.mark.slow
def test_a_trial_that_cannot_be_ended_on_disk_is_over_all_the_same(tmp_path: Path) -> None:
    """The service may not write the repository (here: its lock is no file); it says so once, and stops the canary."""
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    with Server(tmp_path) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=100, min_digits=20, client_share=1))
        (tmp_path / "digits/.lock").unlink()
        (tmp_path / "digits/.lock").mkdir()
        deadline = time.monotonic() + PATIENCE_S
        for version in (1, 2):  # until the canary answers, and until it does no more
            while ask(server, "any", 3)["model"]["version"] == version:
                assert time.monotonic() < deadline
        looks = time.monotonic() + 1.5  # three more looks at the repository
        while time.monotonic() < looks:
            assert ask(server, "any", 3)["model"]["version"] == 1
        code, log = server.stop()
    assert code == 0
    assert log.count("cannot be ended") == 1
