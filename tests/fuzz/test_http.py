"""Requests over HTTP: bodies of every kind, every protocol, cut into packets at random."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.fuzz.cases import KEY, KINDS_OF_REQUESTS, Request, admin
from tests.fuzz.conftest import Case
from tests.fuzz.table import Row
from tests.fuzz.target import Target

CASES = 1000
ADMIN_CASES = 300


@pytest.mark.parametrize("what", KINDS_OF_REQUESTS)
def test_requests(fuzz: Callable[[str, int, Case], Row], target: Target, what: str) -> None:
    def case(dice: Random) -> str:
        request = KINDS_OF_REQUESTS[what](dice)
        outcome = target.send(dice, request)
        assert outcome != "closed", f"no answer to {request.head()!r}"
        return outcome

    found = fuzz(what, CASES, case)
    assert found.seen.total() == 1 or (found.seen["2xx"] and found.seen["4xx"]), "good and bad requests are needed"


def test_admin_calls_and_what_is_answered_meanwhile(fuzz: Callable[[str, int, Case], Row], target: Target) -> None:
    """Promotions, rollouts and unloading in any order; whatever the state, the next request is answered."""

    def case(dice: Random) -> str:
        outcome = target.send(dice, admin(dice))
        target.send(dice, KINDS_OF_REQUESTS["bodies of every kind to /predict"](dice))
        return outcome

    found = fuzz("admin calls, each with a request behind it", ADMIN_CASES, case)
    assert found.seen.total() == 1 or (found.seen["2xx"] and found.seen["4xx"]), "good and bad requests are needed"
    load = Request("POST", "/v2/repository/models/digits/load", b"", KEY)
    assert target.send(Random(0), load) == "2xx"
