"""The watchdog of runs: one that takes too long is ended, whichever thread it runs in, and no other one is."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from service.digits import Pixels
from service.engine.model import Model
from service.engine.operators import Operators
from service.engine.run_watchdog import LOOKS, STUCK, RunWatchdog
from service.errors import ModelBroken, RunTimeout
from tests.support.hostile import loops
from tests.support.models import classifier, digit, digits
from tests.support.server import ROOT

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

NEVER_S = 10_000.0


def endless(value: int) -> Pixels:
    """A digit on which the model of `loops()` never ends."""
    pixels = digit(value)
    pixels[27, 27] = 255
    return pixels[None]


@pytest.fixture(scope="module")
def looping() -> Model:
    return Model.load(loops(), operators=Operators.parse("Loop"), watchdog=RunWatchdog(0.3))


@pytest.mark.slow
def test_a_run_that_never_ends_is_ended_and_the_model_goes_on(looping: Model) -> None:
    for value in (3, 4, 5):
        with pytest.raises(RunTimeout, match=r"took longer than 0\.3 s"):
            looping.predict(endless(value))
        assert looping.predict(digits(value)).argmax() == value


def test_other_runs_of_the_same_model_are_left_alone(looping: Model) -> None:
    stop = threading.Event()

    def answers() -> int:
        count = 0
        while not stop.is_set():
            assert looping.predict(digits(7)).argmax() == 7
            count += 1
        return count

    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(answers) for _ in range(3)]
        hung = threads.submit(looping.predict, endless(1))
        with pytest.raises(RunTimeout):
            hung.result(timeout=60)
        stop.set()
        assert all(one.result(timeout=60) > 10 for one in busy)


def test_a_model_that_never_ends_on_any_digit_is_broken() -> None:
    with pytest.raises(ModelBroken, match="fails on 1 digits"):
        Model.load(loops(always=True), operators=Operators.parse("Loop"), watchdog=RunWatchdog(0.3))


def test_answers_with_and_without_a_watchdog_are_the_same() -> None:
    pixels = digits(*range(10))
    found = [Model.load(classifier(), watchdog=each).predict(pixels) for each in (None, RunWatchdog(NEVER_S))]
    assert np.array_equal(*found)


def look(watchdog: RunWatchdog, times: int) -> None:
    for _ in range(times):
        watchdog.look()


def test_a_run_is_ended_after_so_many_looks_and_the_process_after_as_many_again() -> None:
    stuck: list[int] = []
    watchdog = RunWatchdog(NEVER_S, lambda: stuck.append(1))

    def run(options: Any) -> None:
        look(watchdog, LOOKS)
        assert not options.terminate
        watchdog.look()
        assert options.terminate
        look(watchdog, LOOKS - 1)
        assert not stuck
        watchdog.look()
        assert stuck == [1]
        raise RuntimeError("as ONNX Runtime does when it was told to end")

    with pytest.raises(RunTimeout, match="took longer than 10000 s"):
        watchdog.run(run)
    look(watchdog, 3 * LOOKS)
    assert stuck == [1]


def test_a_run_that_ends_by_itself_at_the_last_moment_is_answered() -> None:
    watchdog = RunWatchdog(NEVER_S)
    assert watchdog.run(lambda _: look(watchdog, LOOKS + 1) or "answer") == "answer"  # type: ignore[func-returns-value]


def test_an_error_of_the_model_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        RunWatchdog(NEVER_S).run(lambda _: 1 / 0)


def test_options_are_used_again_but_not_those_of_a_run_that_was_ended() -> None:
    watchdog = RunWatchdog(NEVER_S)
    first = watchdog.run(lambda options: options)
    assert watchdog.run(lambda options: options) is first
    within = watchdog.run(lambda outer: (outer, watchdog.run(lambda inner: inner)))
    assert within[0] is first
    assert within[1] is not first
    ended = watchdog.run(lambda options: look(watchdog, LOOKS + 1) or options)  # type: ignore[func-returns-value]
    assert ended.terminate
    for _ in range(3):
        assert not watchdog.run(lambda options: options.terminate)


def test_many_short_runs_are_never_ended_however_often_it_looks() -> None:
    watchdog = RunWatchdog(NEVER_S)
    assert not any(watchdog.run(lambda options: watchdog.look() or options.terminate) for _ in range(5 * LOOKS))  # type: ignore[func-returns-value]


def test_its_thread_ends_with_it() -> None:
    before = set(threading.enumerate())
    watchdog = RunWatchdog(0.05)
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(watchdog)
    del watchdog
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert gone() is None


def test_a_run_that_cannot_be_ended_ends_the_process() -> None:
    """As a single node that computes for ever would; SIGTERM could not end the process either."""
    code = "import time; from service.engine.run_watchdog import RunWatchdog; "
    code += "RunWatchdog(0.2).run(lambda _: time.sleep(60))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ended.returncode == STUCK
    assert "does not end" in ended.stderr
