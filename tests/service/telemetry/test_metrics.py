"""Metrics: histograms and counters of one process, their sum over workers, and the Prometheus text format."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import ROWS, SECONDS, Meter, added_up, exposition, gauge

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(*snapshots: dict[str, Any]) -> Samples:
    """What Prometheus reads: values by name and labels."""
    text = exposition(added_up(snapshots), []).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_a_request_counts_in_every_bucket_that_holds_it() -> None:
    meter = Meter()
    for seconds in (0.0004, 0.0005, 0.0006, 99.0):
        meter.request("/predict", "POST", 200, seconds)
    found, name = samples(meter.snapshot()), "digits_request_duration_seconds"
    labels = {"route": "/predict", "method": "POST", "status": "200"}
    assert value(found, f"{name}_bucket", **labels, le="0.0005") == 2  # a bound belongs to its bucket
    assert value(found, f"{name}_bucket", **labels, le="0.001") == 3
    assert value(found, f"{name}_bucket", **labels, le=str(SECONDS[-1])) == 3
    assert value(found, f"{name}_bucket", **labels, le="+Inf") == value(found, f"{name}_count", **labels) == 4
    assert value(found, f"{name}_sum", **labels) == pytest.approx(99.0015)


def test_routes_methods_and_statuses_are_series_of_their_own() -> None:
    meter = Meter()
    for route, method, status in (("/predict", "POST", 200), ("/predict", "POST", 422), ("/metrics", "GET", 200)):
        meter.request(route, method, status, 0.001)
    counts = {key: value for key, value in samples(meter.snapshot()).items() if key[0].endswith("seconds_count")}
    assert set(counts.values()) == {1}
    assert len(counts) == 3


def test_a_batch_counts_its_rows_and_their_classes() -> None:
    meter = Meter()
    meter.batch("digits 3", np.eye(10, dtype=np.float32)[[1, 1, 7]])
    meter.batch("digits 3", np.eye(10, dtype=np.float32)[[7] * 300])
    found, model = samples(meter.snapshot()), {"model": "digits", "version": "3"}
    assert value(found, "digits_batch_rows_bucket", **model, le="2.0") == 0
    assert value(found, "digits_batch_rows_bucket", **model, le="4.0") == 1
    assert value(found, "digits_batch_rows_bucket", **model, le=f"{ROWS[-1]}.0") == 1
    assert value(found, "digits_batch_rows_bucket", **model, le="+Inf") == 2
    assert value(found, "digits_batch_rows_sum", **model) == 303
    classes = [value(found, "digits_predictions_total", **model, digit=str(digit)) for digit in range(10)]
    assert classes == [0, 2, 0, 0, 0, 0, 0, 301, 0, 0]


def test_workers_add_up_to_what_one_would_have_counted() -> None:
    alone, workers = Meter(), [Meter() for _ in range(3)]
    for number in range(60):
        for meter in (alone, workers[number % 3]):
            meter.request(f"/{number % 4}", "GET", 200, number / 64)
            meter.batch(f"digits {number % 2 + 1}", np.eye(10, dtype=np.float32)[: number % 10 + 1])
    assert samples(*(json.loads(json.dumps(worker.snapshot())) for worker in workers)) == samples(alone.snapshot())


def test_adding_up_leaves_the_snapshots_as_they_were() -> None:
    one, other = Meter(), Meter()
    for meter in (one, other):
        meter.request("/", "GET", 200, 0.1)
    added_up([one.snapshot(), other.snapshot()])
    assert added_up([one.snapshot()])["requests"]["/ GET 200"][-1] == 0
    assert sum(added_up([one.snapshot()])["requests"]["/ GET 200"][1:]) == 1


def test_a_gauge_has_a_value_per_label_values() -> None:
    family = gauge("digits_workers", "Workers.", {("a",): 1, ("b",): 2.5}, ("model",))
    text = exposition(added_up([]), [family]).decode()
    assert "# TYPE digits_workers gauge" in text
    assert 'digits_workers{model="a"} 1.0' in text
    assert 'digits_workers{model="b"} 2.5' in text


def test_label_values_are_escaped() -> None:
    text = exposition(added_up([]), [gauge("g", "Text.", {('a"b\\c\nd',): 1}, ("model",))]).decode()
    assert r'g{model="a\"b\\c\nd"} 1.0' in text
