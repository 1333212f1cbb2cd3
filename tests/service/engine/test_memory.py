"""What is replaced is freed at once, by counting references: the service runs without the cyclic garbage collector."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.engine import Engine
from service.engine.model import Model
from service.engine.operators import Operators
from service.engine.rollout import Rollout
from service.engine.run_watchdog import RunWatchdog
from service.errors import RunTimeout
from service.repository.rollout_plan import RolloutPlan
from service.settings import Settings
from service.telemetry.metrics import Meter
from tests.support.hostile import loops
from tests.support.models import BROKEN, digit, digits, publish

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

OF_OTHERS: set[threading.Thread] = set()  # threads that earlier tests left running


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    OF_OTHERS.clear()
    OF_OTHERS.update(threading.enumerate())
    yield
    gc.enable()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    publish(tmp_path, shift=1)
    publish(tmp_path, shift=2, promote=False)
    made = Engine(Settings(models_dir=tmp_path, run_timeout_s=30), Meter())
    made.start()
    yield made
    made.close()


def parts(version: Any) -> list[weakref.ref[Any]]:
    """References to a loaded version and all of it that is large or holds a session."""
    return [weakref.ref(each) for each in (version, version.model, version.model._session, version.batcher)]


def alive(references: list[weakref.ref[Any]]) -> list[Any]:
    """Those that still exist once the threads of big arrays, which were told to end, have."""
    for thread in threading.enumerate():
        if thread.name.startswith("big-arrays") and thread not in OF_OTHERS:
            thread.join(timeout=30)
    return [found for reference in references if (found := reference()) is not None]


async def used(version: Any) -> None:
    """As requests use it: on the event loop, in the thread of big arrays, and by a caller that goes away."""
    assert len(await version.predict(digits(1, 2))) == 2
    assert len(await version.predict(digits(1).repeat(500, axis=0))) == 500
    gone = asyncio.ensure_future(version.predict(digits(1)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)


def test_a_version_that_is_replaced_is_freed(engine: Engine) -> None:
    references = parts(engine.served())
    asyncio.run(used(engine.served()))
    engine.swap(engine.load("digits", 2))
    assert alive(references) == []
    assert engine.served().version == 2


def test_a_version_that_is_unloaded_or_withdrawn_is_freed(engine: Engine) -> None:
    for end in (engine.unload, engine.withdraw):
        engine.swap(engine.load("digits", 2))
        references = parts(engine.served())
        asyncio.run(used(engine.served()))
        end("digits")
        assert alive(references) == []


@pytest.mark.parametrize("shadow", [False, True])
def test_a_rollout_that_is_over_is_freed_with_its_candidate(engine: Engine, shadow: bool) -> None:
    rollout = Rollout(RolloutPlan(2, percent=100, shadow=shadow), engine.load("digits", 2))
    references = [weakref.ref(rollout), *parts(rollout.candidate)]
    engine.swap_rollout("digits", rollout)

    async def ask() -> None:
        for _ in range(5):
            await engine.predict(None, b"id", digits(1, 2))

    asyncio.run(ask())
    rollout._thread.shutdown(wait=True)  # what compares in the background holds a model until it has compared
    engine.swap_rollout("digits", None)
    del rollout
    assert alive(references) == []


def test_a_model_that_is_broken_or_was_ended_is_freed() -> None:
    for data in BROKEN.values():
        with pytest.raises(Exception, match=r".") as caught:
            Model.load(data)
        del caught
    model = Model.load(loops(), watchdog=RunWatchdog(0.2), operators=Operators.parse("Loop"))
    endless = digit(1)
    endless[27, 27] = 255
    with pytest.raises(RunTimeout) as ended:
        model.predict(endless[None])
    references = [weakref.ref(model), weakref.ref(model._session)]
    del ended, model
    assert alive(references) == []
