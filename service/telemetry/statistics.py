"""Counts and durations per model version: the statistics extension of the Open Inference Protocol, as Triton has it.

A request waits in the queue; its rows are gathered into a batch; the batch runs; the results are split. The durations
of a batch count once for the batch and once for each of its requests, as in Triton. All durations are in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns, time

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

    def answered(self, model: str, since_ns: int, input_ns: int = 0, output_ns: int = 0) -> None:
        """Count one request that was answered.

        Args:
            model: "name version".
            since_ns: when it began, in ns of perf_counter_ns.
            input_ns, output_ns: the part of the time since then that decoding and encoding took.
        """
        numbers = self._of(model)
        numbers[LAST_MS] = int(time() * 1000)
        numbers[SUCCESS] += 1
        numbers[SUCCESS_NS] += perf_counter_ns() - since_ns
        numbers[INPUT_NS] += input_ns
        numbers[OUTPUT_NS] += output_ns

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
