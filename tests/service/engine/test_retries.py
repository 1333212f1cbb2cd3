"""When an interrupted try-out is repeated: later and later, each version by itself, and anew after a success."""

from __future__ import annotations

import pytest

from service.engine.retries import FIRST_PAUSE_S, LAST_PAUSE_S, Retries


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("service.engine.retries.monotonic", made)
    return made


def test_what_was_never_postponed_is_due(clock: Clock) -> None:
    assert Retries().is_due("digits", 1)


def test_it_is_due_when_its_pause_is_over_and_no_earlier(clock: Clock) -> None:
    retries = Retries()
    assert retries.postpone("digits", 2) == FIRST_PAUSE_S
    clock.now += FIRST_PAUSE_S - 0.01
    assert not retries.is_due("digits", 2)
    clock.now += 0.01
    assert retries.is_due("digits", 2)
    assert retries.is_due("digits", 2), "asking changes nothing"


def test_pauses_double_up_to_the_last_one(clock: Clock) -> None:
    retries, pauses = Retries(), []
    for _ in range(12):
        pauses.append(retries.postpone("digits", 2))
        clock.now += pauses[-1] - 0.01
        assert not retries.is_due("digits", 2)
        clock.now += 0.01
        assert retries.is_due("digits", 2)
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert pauses[9:] == [LAST_PAUSE_S] * 3


def test_versions_and_models_wait_apart(clock: Clock) -> None:
    retries = Retries()
    retries.postpone("digits", 2)
    retries.postpone("digits", 2)
    assert retries.is_due("digits", 3)
    assert retries.is_due("letters", 2)
    assert retries.postpone("letters", 2) == FIRST_PAUSE_S


def test_after_a_success_the_first_pause_comes_again(clock: Clock) -> None:
    retries = Retries()
    for _ in range(5):
        retries.postpone("digits", 2)
    retries.succeeded("digits", 2)
    assert retries.is_due("digits", 2)
    assert retries.postpone("digits", 2) == FIRST_PAUSE_S
    Retries().succeeded("digits", 7)  # which never failed


def test_models_that_are_gone_are_forgotten(clock: Clock) -> None:
    """A model that is published anew under an old name does not inherit its pauses."""
    retries = Retries()
    for name in ("digits", "digits", "letters"):
        retries.postpone(name, 1)
    retries.keep_only({"digits"})
    assert not retries.is_due("digits", 1)
    assert retries.is_due("letters", 1)
    assert retries.postpone("digits", 1) == 4 * FIRST_PAUSE_S
