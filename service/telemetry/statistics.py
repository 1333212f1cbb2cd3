"""Counts and durations per model version: the statistics extension of the Open Inference Protocol, as Triton has it.

A request waits in the queue, its rows are gathered into a batch with those of others, the batch runs, the results are
split. The durations of a batch count once for the batch and once for each of its requests, as in Triton. All durations
are in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter_ns, time
from typing import Any

LAST_MS, SUCCESS, SUCCESS_NS, FAIL, FAIL_NS, QUEUE_NS, INPUT_NS, INFER_NS, OUTPUT_NS = range(9)
COUNT, BATCH_INPUT_NS, BATCH_INFER_NS, BATCH_OUTPUT_NS = range(4)

Counts = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a model.

    Attributes:
        rows: digits in the batch.
        requests: requests that share it.
        waited_ns: sum of their times in the queue.
        input_ns, infer_ns, output_ns: gathering the rows, running the model, splitting the results.
    """

    rows: int
    requests: int
    waited_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


class Statistics:
    """The statistics of one process.

    Attributes:
        requests: by "model version", the numbers with the indices LAST_MS to OUTPUT_NS.
        batches: by "model version rows", the numbers with the indices COUNT to BATCH_OUTPUT_NS.
    """

    def __init__(self) -> None:
        self.requests: Counts = {}
        self.batches: Counts = {}

    def executed(self, model: str, run: Execution) -> None:
        """Count one run of `model` ("name version")."""
        numbers = self._of(model)
        numbers[QUEUE_NS] += run.waited_ns
        numbers[INPUT_NS] += run.requests * run.input_ns
        numbers[INFER_NS] += run.requests * run.infer_ns
        numbers[OUTPUT_NS] += run.requests * run.output_ns
        key = f"{model} {run.rows}"
        batch = self.batches.get(key) or self.batches.setdefault(key, [0] * 4)
        batch[COUNT] += 1
        batch[BATCH_INPUT_NS] += run.input_ns
        batch[BATCH_INFER_NS] += run.infer_ns
        batch[BATCH_OUTPUT_NS] += run.output_ns

    def answered(self, model: str, since_ns: int) -> None:
        """Count one request that `model` answered. `since_ns`: its arrival, as time.perf_counter_ns."""
        numbers = self._of(model)
        numbers[LAST_MS] = int(time() * 1000)
        numbers[SUCCESS] += 1
        numbers[SUCCESS_NS] += perf_counter_ns() - since_ns

    def failed(self, model: str, since_ns: int) -> None:
        """Count one request that failed: in the model, by a full queue, or because the caller disconnected."""
        numbers = self._of(model)
        numbers[FAIL] += 1
        numbers[FAIL_NS] += perf_counter_ns() - since_ns

    def converted(self, model: str, input_ns: int, output_ns: int) -> None:
        """Add the durations of decoding the request's body and of encoding its response."""
        numbers = self._of(model)
        numbers[SUCCESS_NS] += input_ns + output_ns
        numbers[INPUT_NS] += input_ns
        numbers[OUTPUT_NS] += output_ns

    def snapshot(self) -> dict[str, Counts]:
        """All numbers, in types that JSON has."""
        return {"requests": self.requests, "batches": self.batches}

    def _of(self, model: str) -> list[int]:
        return self.requests.get(model) or self.requests.setdefault(model, [0] * 9)


def as_triton(name: str, version: int, snapshots: Iterable[dict[str, Counts]]) -> dict[str, Any]:
    """The statistics of one version, summed over the workers' snapshots, as an element of `model_stats`."""
    requests, batches = _added_up(f"{name} {version}", list(snapshots))
    answered = requests[SUCCESS]
    return {
        "name": name,
        "version": str(version),
        "last_inference": requests[LAST_MS],
        "inference_count": sum(rows * batch[COUNT] for rows, batch in batches.items()),
        "execution_count": sum(batch[COUNT] for batch in batches.values()),
        "inference_stats": {
            "success": _duration(answered, requests[SUCCESS_NS]),
            "fail": _duration(requests[FAIL], requests[FAIL_NS]),
            "queue": _duration(answered, requests[QUEUE_NS]),
            "compute_input": _duration(answered, requests[INPUT_NS]),
            "compute_infer": _duration(answered, requests[INFER_NS]),
            "compute_output": _duration(answered, requests[OUTPUT_NS]),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(batch[COUNT], batch[BATCH_INPUT_NS]),
                "compute_infer": _duration(batch[COUNT], batch[BATCH_INFER_NS]),
                "compute_output": _duration(batch[COUNT], batch[BATCH_OUTPUT_NS]),
            }
            for rows, batch in sorted(batches.items())
        ],
        "memory_usage": [],
    }


def _added_up(model: str, snapshots: list[dict[str, Counts]]) -> tuple[list[int], dict[int, list[int]]]:
    requests = [snapshot["requests"].get(model, [0] * 9) for snapshot in snapshots]
    total = [sum(column) for column in zip(*requests, strict=True)]
    total[LAST_MS] = max(numbers[LAST_MS] for numbers in requests)
    batches: dict[int, list[int]] = {}
    for snapshot in snapshots:
        for key, numbers in snapshot["batches"].items():
            of, _, rows = key.rpartition(" ")
            if of == model:
                so_far = batches.get(int(rows), [0] * 4)
                batches[int(rows)] = [a + b for a, b in zip(so_far, numbers, strict=True)]
    return total, batches


def _duration(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
