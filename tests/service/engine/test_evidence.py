"""Which digits of a trial count: strangers cannot decide it by what they send."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from service.engine.evidence import Evidence
from service.engine.rollout import Rollout
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.models import publish, unlike
from tests.support.server import Server
from tests.support.waiting import until

OCTETS = {"content-type": "application/octet-stream"}
KEY = "k" * 32


def some(*numbers: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([unlike(3, number) for number in numbers])


def test_each_digit_counts_once() -> None:
    evidence = Evidence(100)
    assert evidence.selects("a", some(1, 2, 1)).tolist() == [True, True, False]
    assert evidence.selects("b", some(2, 3)).tolist() == [False, True]


def test_a_client_gives_at_most_its_share() -> None:
    evidence = Evidence(5)
    assert evidence.selects("a", some(*range(20))).sum() == 5
    assert evidence.selects("b", some(*range(20, 40))).sum() == 5
    assert not evidence.selects("a", some(50)).any()


@pytest.mark.parametrize(
    "picture",
    [np.zeros((28, 28)), np.full((28, 28), 255), np.full((28, 28), 100), 255 - some(1)[0], np.eye(28)[:, ::-1] * 90],
)
def test_what_shows_no_digit_does_not_count(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    assert not Evidence(100).selects("a", picture[np.newaxis].astype(np.uint8)).any()


def test_the_id_alone_does_not_say_which_version_answers() -> None:
    """With another secret, other ids fall to the candidate: who does not know it cannot choose."""
    trials = [Rollout(RolloutPlan(2, percent=50), candidate=None) for _ in range(20)]  # type: ignore[arg-type]
    fell = np.array([[trial.falls_to_candidate(b"%d" % i) for i in range(200)] for trial in trials])
    assert (fell.mean(axis=0) > 0.05).all()
    assert (fell.mean(axis=0) < 0.95).all()


def test_a_plan_of_an_earlier_version_has_a_secret_too() -> None:
    old = RolloutPlan.from_json(b'{"version": 2, "percent": 5, "id": "abcd"}')
    assert len(old.secret) == 32
    assert old.secret not in repr(old)


@pytest.mark.slow
def test_one_stranger_promotes_nothing(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, promote=False)
    with Server(tmp_path, admin_key=KEY) as server:
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=50, min_digits=64))

        def ask(number: int) -> None:
            """50 digits that differ from all before, and 50 that do not."""
            body = some(*range(number, number + 50)).tobytes() + some(*[1] * 50).tobytes()
            server.client.post("/predict", content=body, headers=OCTETS).raise_for_status()

        def trial() -> dict[str, int]:
            return dict(server.client.get("/models/digits").json()["trial"] or {})

        numbers = count(0, 50)
        until(lambda: ask(next(numbers)) or trial().get("requests"))  # the canary answers
        until(lambda: ask(next(numbers)) or trial()["compared"] >= 16)
        for _ in range(40):
            ask(next(numbers))
        found = server.client.get("/models/digits")
        assert found.json()["trial"]["compared"] == 16  # a quarter of 64
        assert found.json()["current"] == 1
        secret = RepositoryWriter(tmp_path).rollout("digits")
        assert secret
        assert secret.secret not in found.text


@pytest.mark.slow
def test_an_admin_may_choose_the_version(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    with Server(tmp_path, admin_key=KEY) as server:

        def answer(version: str, **headers: str) -> tuple[int, int | None]:
            found = server.client.post(
                "/predict", content=some(1).tobytes(), headers=OCTETS | headers | {"x-model-version": version}
            )
            return found.status_code, found.json().get("model", {}).get("version")

        assert answer("1") == (401, None)
        assert answer("1", **{"x-admin-key": "wrong" * 5}) == (401, None)
        assert answer("2", **{"x-admin-key": KEY})[0] == 404  # it is not loaded
        RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=0))
        while not server.client.get("/models/digits").json()["trial"]:
            pass
        while answer("canary", **{"x-admin-key": KEY})[0] == 404:
            pass
        assert answer("canary", **{"x-admin-key": KEY}) == answer("2", **{"x-admin-key": KEY}) == (200, 2)
        assert answer("stable", **{"x-admin-key": KEY}) == (200, 1)
