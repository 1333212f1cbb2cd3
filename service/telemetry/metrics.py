"""Prometheus metrics. Counting costs about 1 us per request: numbers in lists, which become metric families only when
/metrics is called.

Each of several workers writes its numbers to a file every second, and the worker that answers /metrics adds all files
up (scoreboard.py). Numbers of a worker that died stay in the sum, so that counters never decrease.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.telemetry.statistics import Statistics

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

EVENTS = {  # kind: its text, and the name of its label or ""
    "log_lines_dropped": ("Log lines that were not written: standard error did not take them.", ""),
    "task_failures": ("Failures of tasks that run beside the requests; each is started again.", "task"),
    "loop_stalls": ("Times that an event loop did not turn for a second.", ""),
    "run_timeouts": ("Runs of a model that were ended because they took too long.", "model"),
    "worker_deaths": ("Worker processes that ended without being told to, by signal or exit code.", "cause"),
}

Numbers = dict[str, list[float]]


class Meter:
    """The metrics of one process.

    Attributes:
        requests: histograms of seconds by "route method status": their sum, then a count per bucket, the last +Inf.
        batches: histograms of rows by "model version", in the same form.
        predictions: digits per predicted class by "model version".
        statistics: those of the Open Inference Protocol's statistics extension.
        events: single counts by "kind label"; the kinds are those of EVENTS.
    """

    def __init__(self) -> None:
        self.requests: Numbers = {}
        self.batches: Numbers = {}
        self.predictions: Numbers = {}
        self.events: Numbers = {}
        self.statistics = Statistics()

    def event(self, kind: str, label: str = "", times: float = 1) -> None:
        """Count something that seldom happens, such as a background task that failed."""
        self.events.setdefault(f"{kind} {label}", [0.0])[0] += times

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one response. `seconds`: from the head of the request to the end of the response."""
        key = f"{route} {method} {status}"
        numbers = self.requests.get(key) or self.requests.setdefault(key, [0.0] * (len(SECONDS) + 2))
        numbers[0] += seconds
        numbers[bisect_left(SECONDS, seconds) + 1] += 1

    def batch(self, model: str, probabilities: NDArray[np.float32]) -> None:
        """Count one run of a model and the classes it predicted.

        Args:
            model: "name version".
            probabilities: float32 (rows, 10).
        """
        rows = len(probabilities)
        numbers = self.batches.get(model) or self.batches.setdefault(model, [0.0] * (len(ROWS) + 2))
        numbers[0] += rows
        numbers[bisect_left(ROWS, rows) + 1] += 1
        classes = self.predictions.get(model) or self.predictions.setdefault(model, [0.0] * 10)
        for digit in probabilities.argmax(axis=1).tolist():
            classes[digit] += 1

    def snapshot(self) -> dict[str, Any]:
        """All numbers, in types that JSON has."""
        numbers: dict[str, Numbers] = {
            "requests": self.requests,
            "batches": self.batches,
            "predictions": self.predictions,
            "events": self.events,
        }
        return {**numbers, "statistics": self.statistics.snapshot()}


def added_up(snapshots: Iterable[dict[str, Any]]) -> dict[str, Numbers]:
    """The sum of several workers' snapshots: requests, batches, predictions and events."""
    total: dict[str, Numbers] = {"requests": {}, "batches": {}, "predictions": {}, "events": {}}
    for snapshot in snapshots:
        for kind, numbers in total.items():
            for key, values in snapshot.get(kind, {}).items():
                numbers[key] = [a + b for a, b in zip(numbers[key], values, strict=True)] if key in numbers else values
    return total


class _Families(Collector):
    def __init__(self, numbers: dict[str, Numbers], gauges: Iterable[Metric]) -> None:
        self._numbers = numbers
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        yield _histogram(
            "digits_request_duration_seconds",
            "Time from the head of a request to the end of its response.",
            ("route", "method", "status"),
            SECONDS,
            self._numbers["requests"],
        )
        yield _histogram(
            "digits_batch_rows", "Digits in one run.", ("model", "version"), ROWS, self._numbers["batches"]
        )
        predictions = CounterMetricFamily(
            "digits_predictions", "Digits classified, by predicted class.", labels=("model", "version", "digit")
        )
        for key, classes in self._numbers["predictions"].items():
            for digit, count in enumerate(classes):
                predictions.add_metric([*key.split(" "), str(digit)], count)
        yield predictions
        yield from map(self._events, EVENTS)
        yield from self._gauges

    def _events(self, kind: str) -> Metric:
        """One counter; without labels it is there from the start, as 0."""
        text, label = EVENTS[kind]
        counts = {
            key.partition(" ")[2]: count
            for key, (count,) in self._numbers["events"].items()
            if kind == key.split(" ")[0]
        }
        family = CounterMetricFamily(f"digits_{kind}", text, labels=(label,) if label else ())
        for value, count in (counts if label else {"": 0.0} | counts).items():
            family.add_metric((value,) if label else (), count)
        return family


def _histogram(
    name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...], numbers: Numbers
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, (total, *counts) in numbers.items():
        cumulative = np.cumsum(counts).tolist()
        buckets = [(str(float(bound)), n) for bound, n in zip((*bounds, np.inf), cumulative, strict=True)]
        family.add_metric(key.split(" "), [(b.replace("inf", "+Inf"), n) for b, n in buckets], total)
    return family


def gauge(name: str, text: str, values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ()) -> Metric:
    """One gauge family, with one value per tuple of label values."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def exposition(numbers: dict[str, Numbers], gauges: Iterable[Metric]) -> bytes:
    """All metrics in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Families(numbers, gauges))
    return generate_latest(registry)
