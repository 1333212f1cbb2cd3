"""Triton's statistics: snapshots of several workers add up, and the last inference is the latest of all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.errors import NoSuchModel
from service.openinference.statistics import as_triton, statistics
from service.settings import Settings
from service.telemetry.statistics import Execution, Statistics
from tests.support.models import publish


@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=6), min_size=1, max_size=4))
def test_several_workers_add_up(workers: list[list[tuple[int, int]]]) -> None:
    alone, together = Statistics(), [Statistics() for _ in workers]
    for worker, runs in zip(together, workers, strict=True):
        for rows, requests in runs:
            for one in (worker, alone):
                one.executed("digits 12", Execution(rows, requests, 5, 7, 11, 13))
                one.failed("digits 1", 0)
                one.executed("digits 1", Execution(rows, requests, 5, 7, 11, 13))
    single = as_triton("digits", 12, [alone.snapshot()])
    many = as_triton("digits", 12, [json.loads(json.dumps(worker.snapshot())) for worker in together])
    assert single == many
    assert single["inference_stats"]["fail"]["count"] == 0  # those are another version's
    assert single["execution_count"] == sum(map(len, workers))
    assert as_triton("digits", 1, [alone.snapshot()])["execution_count"] == sum(map(len, workers))


def test_the_last_inference_is_the_last_of_all_workers() -> None:
    idle, busy = Statistics(), Statistics()
    idle.failed("digits 1", 0)
    busy.answered("digits 1", 0)
    both = [busy.snapshot(), idle.snapshot()]
    assert as_triton("digits", 1, both)["last_inference"] == as_triton("digits", 1, [busy.snapshot()])["last_inference"]
    assert as_triton("digits", 1, both)["last_inference"] > 0


def test_which_versions_are_reported(tmp_path: Path) -> None:
    """Those that are served: all of them, those of one model, or one of them."""
    for name in ("digits", "other"):
        publish(tmp_path, name=name)
        publish(tmp_path, name=name)
    context = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite")).state.context

    def found(*chosen: str) -> list[tuple[str, str]]:
        return [(one["name"], one["version"]) for one in asyncio.run(statistics(context, *chosen))["model_stats"]]

    assert found() == [("digits", "2"), ("other", "2")]
    assert found("other") == found("other", "2") == found("other", "stable") == [("other", "2")]
    for chosen in (("nothing",), ("digits", "1"), ("digits", "canary"), ("", "2")):
        with pytest.raises(NoSuchModel):
            found(*chosen)
