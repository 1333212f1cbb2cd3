"""The watchdog of runs: one that takes too long is ended, whichever thread it runs in, and no other one is."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

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

NEVER_S = 10_000.0


def endless(value: int) -> Pixels:
    """A digit on which the model of `loops()` never ends."""
    pixels = digit(value)
    pixels[27, 27] = 255
    return pixels[None]


@pytest.fixture(scope="module")
def looping() -> Model:
    return Model.load(loops(), operators=Operators.parse("Loop"), watchdog=RunWatchdog(0.3))


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


def test_a_run_is_ended_after_so_many_looks_and_the_process_after_as_many_again() -> None:
    stuck: list[int] = []
    watchdog = RunWatchdog(NEVER_S, lambda: stuck.append(1))
    key, options = watchdog.begin()
    for _ in range(LOOKS):
        watchdog.look()
    assert not options.terminate
    watchdog.look()
    assert options.terminate
    other_key, other = watchdog.begin()
    assert other is not options
    for _ in range(LOOKS - 1):
        watchdog.look()
    assert not stuck
    watchdog.look()
    assert stuck == [1]
    assert watchdog.finish(other_key, other)
    assert not watchdog.finish(key, options)
    watchdog.look()
    assert stuck == [1]


def test_options_are_used_again_but_not_those_of_a_run_that_was_ended() -> None:
    watchdog = RunWatchdog(NEVER_S)
    key, first = watchdog.begin()
    assert watchdog.finish(key, first)
    key, second = watchdog.begin()
    assert second is first
    for _ in range(LOOKS + 1):
        watchdog.look()
    assert not watchdog.finish(key, second)
    key, third = watchdog.begin()
    assert third is not second
    assert not third.terminate


def test_many_short_runs_are_never_ended_however_often_it_looks() -> None:
    watchdog = RunWatchdog(NEVER_S)
    for _ in range(5 * LOOKS):
        key, options = watchdog.begin()
        watchdog.look()
        assert watchdog.finish(key, options)


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
    code += "watchdog = RunWatchdog(0.2); watchdog.begin(); time.sleep(60)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ended.returncode == STUCK
    assert "does not end" in ended.stderr
