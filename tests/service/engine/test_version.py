"""A loaded version: its answers, which of its batchers runs, its counts, and that it answers after a promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.engine.engine import Engine
from service.errors import Unavailable
from service.settings import Settings
from service.telemetry.metrics import Meter
from service.telemetry.statistics import FAIL, SUCCESS
from tests.support.models import digits, publish
from tests.support.v2 import publish_with_lecture_output


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """`digits` has one output; `both` has the lecture's too."""
    publish(tmp_path)
    publish_with_lecture_output(tmp_path, name="both")
    made = Engine(Settings(models_dir=tmp_path, max_queue_rows=100), Meter())
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize(("name", "lecture", "columns"), [
    ("digits", False, 10),
    ("digits", True, 10),  # the version does not have that output
    ("both", False, 10),
    ("both", True, 110),
])  # fmt: skip
def test_columns_with_and_without_the_lecture_output(engine: Engine, name: str, lecture: bool, columns: int) -> None:
    served = engine.served(name)
    answer = asyncio.run(served.predict(digits(3, 1, 4), lecture))
    assert (answer.shape, answer.dtype) == ((3, columns), np.float32)
    assert np.array_equal(answer[:, :10], served.model.predict(digits(3, 1, 4)))
    if columns == 110:
        assert np.array_equal(answer[:, 10:].reshape(-1, 10, 10, 1), served.model.lecture_output(digits(3, 1, 4)))


def test_its_numbers_are_kept_under_name_and_version(engine: Engine) -> None:
    for name, asked in (("digits", 2), ("both", 1)):
        for _ in range(asked):
            asyncio.run(engine.served(name).predict(digits(3)))
    numbers = engine.served().statistics.requests
    assert engine.served().key == "digits 1"
    assert {key: found[SUCCESS] for key, found in numbers.items()} == {"digits 1": 2, "both 1": 1}


def test_a_full_queue_and_a_cancelled_caller_count_as_failures(engine: Engine) -> None:
    served = engine.served()

    async def two() -> None:
        first = asyncio.ensure_future(served.predict(digits(3).repeat(100, axis=0)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="full"):
            await served.predict(digits(3))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(two())
    found = served.statistics.requests["digits 1"]
    assert (found[SUCCESS], found[FAIL]) == (0, 2)


def test_the_holder_of_a_version_is_answered_by_it_after_another_was_promoted(engine: Engine, tmp_path: Path) -> None:
    held = engine.served()
    publish(tmp_path, shift=1)
    engine.swap(engine.load("digits"))
    assert asyncio.run(held.predict(digits(3))).argmax() == 3
    assert asyncio.run(engine.served().predict(digits(3))).argmax() == 4
