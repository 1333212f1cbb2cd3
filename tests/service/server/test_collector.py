"""The garbage collector: off while the service starts, seldom afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from service.server import collector


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


@pytest.mark.usefixtures("as_before")
def test_off_and_then_seldom() -> None:
    collector.pause()
    assert not gc.isenabled()
    collector.resume_seldom()
    assert gc.isenabled()
    assert gc.get_threshold() == collector.THRESHOLDS
    assert gc.get_freeze_count() > 0
