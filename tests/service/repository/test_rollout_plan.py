"""The plan of a rollout: its verdicts, and its file."""

from __future__ import annotations

import json

import pytest

from service.repository.rollout_plan import RolloutPlan


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ((0, 0, 0, 0), ""),
        ((100, 0, 99, 0), ""),
        ((100, 0, 100, 2), "promoted: 2.00% of 100 digits differ"),
        ((100, 0, 100, 3), "rolled back: 3.00% of 100 digits differ"),
        ((10, 2, 8, 0), "rolled back: 2 of 10 requests failed"),
        ((100, 1, 100, 0), "promoted"),
        ((1000, 10, 990, 0), "promoted"),
        ((1000, 11, 989, 0), "rolled back: 11 of 1000"),
    ],
)
def test_the_verdict(seen: tuple[int, int, int, int], verdict: str) -> None:
    plan = RolloutPlan(2, percent=5, min_digits=100, max_disagreement=0.02, max_errors=0.01)
    assert plan.verdict(*seen).startswith(verdict)
    assert bool(plan.verdict(*seen)) == bool(verdict)


def test_a_shadow_is_never_ended() -> None:
    assert RolloutPlan(2, shadow=True, min_digits=1).verdict(1000, 1000, 1000, 1000) == ""


def test_errors_count_before_enough_digits_are_compared() -> None:
    """More errors than even a full sample may have: 0.1 % of 1,000."""
    plan = RolloutPlan(2, percent=5)
    assert plan.verdict(requests=1, errors=1, compared=0, disagreed=0) == ""
    assert plan.verdict(requests=2, errors=2, compared=0, disagreed=0).startswith("rolled back: 2 of 2")


def test_a_plan_comes_back_as_it_was() -> None:
    plan = RolloutPlan(2, percent=12.5, max_errors=0.1)
    assert RolloutPlan.from_json(plan.to_json()) == plan


def test_two_plans_of_one_version_differ() -> None:
    assert RolloutPlan(2).id != RolloutPlan(2).id


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"5", b"null", b"{}", b'{"version": 2, "days": 3}', b"\xff", json.dumps([2]).encode()]
)
def test_what_is_not_a_plan(text: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        RolloutPlan.from_json(text)
