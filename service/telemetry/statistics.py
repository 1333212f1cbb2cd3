"""What the model did for how many requests and how long: the numbers behind Open Inference Protocol statistics.

A request waits in the queue, its rows are gathered into a batch with others', the batch runs, the results are handed
out. Durations of a batch count once for the batch and once for each request in it, as Triton counts them. Times are
nanoseconds. It knows numbers, and no digits.
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
        rows: digits in it.
        requests: callers who share it.
        waited_ns: how long they waited for it, all together.
        input_ns, infer_ns, output_ns: gathering their rows, running, handing the results out.
    """

    rows: int
    requests: int
    waited_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


class Statistics:
    """The numbers of one process.

    Attributes:
        requests: under "model version", what LAST_MS to OUTPUT_NS name.
        batches: under "model version rows", what COUNT to BATCH_OUTPUT_NS name.
    """

    def __init__(self) -> None:
        self.requests: Counts = {}
        self.batches: Counts = {}

    def executed(self, model: str, run: Execution) -> None:
        """Count one run of a model, `model` being "name version"."""
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
            since_ns: when it began, of the performance counter.
            input_ns, output_ns: of the time since then, what decoding and encoding took.
        """
        numbers = self._of(model)
        numbers[LAST_MS] = int(time() * 1000)
        numbers[SUCCESS] += 1
        numbers[SUCCESS_NS] += perf_counter_ns() - since_ns
        numbers[INPUT_NS] += input_ns
        numbers[OUTPUT_NS] += output_ns

    def failed(self, model: str, since_ns: int) -> None:
        """Count one request that the model, or a full queue, did not answer, or whose caller went away."""
        numbers = self._of(model)
        numbers[FAIL] += 1
        numbers[FAIL_NS] += perf_counter_ns() - since_ns

    def converted(self, model: str, input_ns: int, output_ns: int) -> None:
        """Add to an answer that was counted already what decoding its request and encoding it took."""
        numbers = self._of(model)
        numbers[SUCCESS_NS] += input_ns + output_ns
        numbers[INPUT_NS] += input_ns
        numbers[OUTPUT_NS] += output_ns

    def snapshot(self) -> dict[str, Counts]:
        """All numbers, as JSON can hold them."""
        return {"requests": self.requests, "batches": self.batches}

    def _of(self, model: str) -> list[int]:
        return self.requests.get(model) or self.requests.setdefault(model, [0] * 9)
