"""Statistics of one process, and their sum over several workers."""

from __future__ import annotations

from time import perf_counter_ns, time

from service.openinference.statistics import as_triton
from service.telemetry.statistics import Execution, Statistics


def test_durations_of_a_batch_count_once_per_batch_and_once_per_request() -> None:
    statistics = Statistics()
    statistics.executed("digits 1", Execution(rows=8, requests=3, waited_ns=90, input_ns=5, infer_ns=7, output_ns=11))
    for _ in range(3):
        statistics.answered("digits 1", perf_counter_ns())
    found = as_triton("digits", 1, [statistics.snapshot()])
    assert (found["inference_count"], found["execution_count"]) == (8, 1)
    stats = found["inference_stats"]
    assert {part: stats[part] for part in ("queue", "compute_input", "compute_infer", "compute_output")} == {
        "queue": {"count": 3, "ns": 90},
        "compute_input": {"count": 3, "ns": 15},
        "compute_infer": {"count": 3, "ns": 21},
        "compute_output": {"count": 3, "ns": 33},
    }
    assert found["batch_stats"] == [
        {
            "batch_size": 8,
            "compute_input": {"count": 1, "ns": 5},
            "compute_infer": {"count": 1, "ns": 7},
            "compute_output": {"count": 1, "ns": 11},
        }
    ]


def test_decoding_and_encoding_belong_to_the_request_and_not_to_the_batch() -> None:
    statistics = Statistics()
    statistics.executed("digits 1", Execution(1, 1, 0, 5, 7, 11))
    statistics.answered("digits 1", perf_counter_ns())
    before = as_triton("digits", 1, [statistics.snapshot()])["inference_stats"]
    statistics.converted("digits 1", input_ns=100, output_ns=1000)
    found = as_triton("digits", 1, [statistics.snapshot()])
    assert found["inference_stats"]["compute_input"] == {"count": 1, "ns": 105}
    assert found["inference_stats"]["compute_output"] == {"count": 1, "ns": 1011}
    assert found["inference_stats"]["success"]["ns"] == before["success"]["ns"] + 1100
    assert found["batch_stats"][0]["compute_input"]["ns"] == 5


def test_success_and_failure_are_counted_apart_with_their_durations() -> None:
    statistics, before = Statistics(), int(time() * 1000)
    statistics.answered("digits 1", perf_counter_ns() - 5_000_000)
    statistics.failed("digits 1", perf_counter_ns() - 9_000_000)
    found = as_triton("digits", 1, [statistics.snapshot()])
    assert found["last_inference"] >= before
    assert found["inference_stats"]["success"]["count"] == found["inference_stats"]["fail"]["count"] == 1
    assert found["inference_stats"]["success"]["ns"] >= 5_000_000
    assert found["inference_stats"]["fail"]["ns"] >= 9_000_000


def test_a_version_that_never_ran() -> None:
    found = as_triton("digits", 9, [Statistics().snapshot()])
    assert (found["version"], found["last_inference"], found["batch_stats"]) == ("9", 0, [])
