"""Long answers are written in parts, between which other requests pass: the same bytes as in one go."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from service import concurrency
from service.concurrency import NICENESS, SLICE_S, cooperate, give_way
from service.openinference import answer, request, tensors
from service.openinference.grpc import converters as infer
from service.openinference.request import RequestedOutput
from service.tfserving import answer as tfserving
from service.tfserving.request import InferenceRequest
from tests.support.v2 import outputs

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

LABELS = [f"label {i}" for i in range(10)]
VALUES = np.random.default_rng(1).dirichlet(np.ones(10), 20_000).astype(np.float32)
CELLS = np.repeat(VALUES, 10, axis=1).reshape(-1, 10, 10, 1)
CLASSES = [("probabilities", VALUES[:4000], 10), ("lecture_output", CELLS[:400], 100)]


def with_turns(work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, int]:
    """What comes of it, and how often the event loop turned until it came."""

    async def both() -> tuple[Any, int]:
        task, count = asyncio.ensure_future(work()), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return await task, count

    return asyncio.run(both())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which passes only where a test says so: how busy the machine is does not matter."""
    now = [0.0]
    monkeypatch.setattr(concurrency, "perf_counter", lambda: now[0])
    return now


def test_all_parts_in_their_order_and_short_ones_without_a_turn(clock: list[float]) -> None:
    def short(i: int) -> int:
        clock[0] += SLICE_S / 101
        return i

    assert with_turns(lambda: cooperate(map(short, range(100)))) == (list(range(100)), 1)
    assert with_turns(lambda: cooperate([])) == ([], 1)


def test_others_pass_between_two_long_parts(clock: list[float]) -> None:
    def slow(i: int) -> int:
        clock[0] += 2 * SLICE_S
        return i

    assert with_turns(lambda: cooperate(map(slow, range(10)))) == (list(range(10)), 11)


def test_a_thread_gives_way_and_stays_within_what_the_system_allows() -> None:
    """Whatever niceness these tests run at: 10 above it, and 19 at most."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    found = []

    def lower_twice() -> None:
        for _ in range(2):
            give_way()
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=lower_twice)
    thread.start()
    thread.join()
    assert found == [min(19, own + NICENESS), min(19, own + 2 * NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


@pytest.mark.slow
@pytest.mark.parametrize("in_binary", [False, True])
@pytest.mark.parametrize(("name", "values", "count"), CLASSES)
def test_classes_over_v2(name: str, values: Any, count: int, in_binary: bool) -> None:
    asked = request.InferenceRequest([RequestedOutput(name, in_binary, count)])
    (body, size), turns = with_turns(lambda: answer.write("digits", 1, asked, {name: values}, LABELS))
    found = outputs(body, {"inference-header-content-length": str(size)} if size else {})[name]
    assert found.datatype == "BYTES"
    expected = tensors.classification(values, count, LABELS if values.ndim == 2 else [])
    assert np.array_equal(found.values, expected)
    assert turns >= 3


@pytest.mark.parametrize(("name", "values", "count"), CLASSES)
def test_classes_over_grpc(name: str, values: Any, count: int) -> None:
    asked = request.InferenceRequest([RequestedOutput(name, True, count)])
    message, turns = with_turns(lambda: infer.write("digits", 1, asked, {name: values}, LABELS))
    assert list(message.outputs[0].shape) == [len(values), count]
    rows = tensors.classification(values, count, LABELS if values.ndim == 2 else [])
    assert message.raw_output_contents[0] == tensors.as_bytes_tensor(text for row in rows for text in row)
    assert turns >= 3


@pytest.mark.parametrize(("count", "shape"), [(3, [1, 3]), (99, [1, 10])])
def test_one_row(count: int, shape: list[int]) -> None:
    asked = request.InferenceRequest([RequestedOutput("probabilities", False, count)])
    (body, _), _ = with_turns(lambda: answer.write("digits", 1, asked, {"probabilities": VALUES[:1]}, LABELS))
    found = outputs(body, {})["probabilities"]
    assert found.shape == shape
    assert found.values.tolist() == tensors.classification(VALUES[:1], count, LABELS)


def test_numbers_over_v2() -> None:
    asked = request.InferenceRequest([RequestedOutput("lecture_output")])
    (body, _), turns = with_turns(lambda: answer.write("digits", 1, asked, {"lecture_output": CELLS}, LABELS))
    assert np.array_equal(outputs(body, {})["lecture_output"].values.astype(np.float32), CELLS)
    assert turns >= 3


@pytest.mark.parametrize("place", ["instances", "inputs"])
@pytest.mark.parametrize("count", [1, 2, 20_000])
def test_predictions_over_v1(place: str, count: int) -> None:
    body, turns = with_turns(lambda: tfserving.predict_answer(InferenceRequest(place, []), VALUES[:count]))
    document = json.loads(body)
    assert list(document) == ["predictions" if place == "instances" else "outputs"]
    assert np.array_equal(np.array(next(iter(document.values())), np.float32), VALUES[:count])
    assert turns >= 2 or count < 20_000


def test_scores_over_v1() -> None:
    body, turns = with_turns(lambda: tfserving.classify_answer(LABELS, VALUES))
    results = json.loads(body)["results"]
    assert all([label for label, _ in pairs] == LABELS for pairs in results)
    assert np.array_equal(np.array([[score for _, score in pairs] for pairs in results], np.float32), VALUES)
    assert turns >= 3
