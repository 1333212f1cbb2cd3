"""Statistics add up: requests, digits, runs and times, of one worker and of several."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.engine.batcher import AdmissionLimit, Batcher
from service.settings import Settings
from service.telemetry.statistics import Execution
from tests.support.asgi import acall, call, until
from tests.support.models import digits, publish
from tests.support.server import Server
from tests.support.v2 import (
    INFER,
    LENGTH,
    answered_by,
    binary,
    document,
    publish_with_lecture_output,
    tensor,
)

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    publish(root)
    publish(root, name="other")
    return root


@pytest.fixture
def app(published: Path, tmp_path: Path) -> FastAPI:
    root = shutil.copytree(published, tmp_path / "models")
    return create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite", max_queue_rows=1000))


def stats(app: FastAPI, path: str = "/v2/models/digits/stats") -> dict[str, Any]:
    answer = call(app, "GET", path)
    assert answer.status == 200
    [found] = answer.json()["model_stats"]
    return checked(found)


def checked(found: dict[str, Any]) -> dict[str, Any]:
    """Check the invariants of statistics at a time when no request is running."""
    parts, batches = found["inference_stats"], found["batch_stats"]
    success = parts["success"]
    assert all(parts[part]["count"] == success["count"] for part in PARTS)
    assert sum(parts[part]["ns"] for part in PARTS) <= success["ns"]
    assert found["inference_count"] == sum(one["batch_size"] * one["compute_infer"]["count"] for one in batches)
    assert found["execution_count"] == sum(one["compute_infer"]["count"] for one in batches)
    assert [one["batch_size"] for one in batches] == sorted({one["batch_size"] for one in batches})
    for one in batches:
        counts = {one[part]["count"] for part in PARTS[1:]}
        assert len(counts) == 1
        assert counts != {0}
    assert sum(one["compute_infer"]["ns"] for one in batches) <= parts["compute_infer"]["ns"]
    assert (found["last_inference"] > 0) == (success["count"] > 0)
    return found


def ask(app: FastAPI, *values: int) -> None:
    assert call(app, path=INFER, body=document(tensor(digits(*values)))).status == 200


def test_nothing_yet(app: FastAPI) -> None:
    found = stats(app)
    assert (found["name"], found["version"], found["last_inference"]) == ("digits", "1", 0)
    assert found["inference_count"] == found["execution_count"] == 0
    assert found["batch_stats"] == []
    assert all(part == {"count": 0, "ns": 0} for part in found["inference_stats"].values())


def test_requests_digits_and_runs(app: FastAPI) -> None:
    began = time.time() * 1000
    for values in ((1,), (2,), (1, 2, 3)):
        ask(app, *values)
    found = stats(app)
    assert (found["inference_count"], found["execution_count"]) == (5, 3)
    assert found["inference_stats"]["success"]["count"] == 3
    assert {one["batch_size"]: one["compute_infer"]["count"] for one in found["batch_stats"]} == {1: 2, 3: 1}
    assert began - 1 <= found["last_inference"] <= time.time() * 1000
    assert all(found["inference_stats"][part]["ns"] > 0 for part in ("success", *PARTS))
    assert found["inference_stats"]["fail"] == {"count": 0, "ns": 0}


def test_requests_that_come_together_share_a_run(app: FastAPI) -> None:
    async def together() -> None:
        body, headers = binary(digits(1, 2))
        await asyncio.gather(*(acall(app, path=INFER, body=body, headers=headers) for _ in range(16)))

    asyncio.run(together())
    found = stats(app)
    assert found["inference_stats"]["success"]["count"] == 16
    assert (found["inference_count"], found["execution_count"]) == (32, 1)
    [batch] = found["batch_stats"]
    assert batch["batch_size"] == 32
    # the run was waited for by each of the 16
    assert found["inference_stats"]["compute_infer"]["ns"] == 16 * batch["compute_infer"]["ns"]


def test_a_big_request_runs_in_pieces(app: FastAPI) -> None:
    assert call(app, path=INFER, body=bytes(784 * 600), headers={LENGTH: "0"}).status == 200
    found = stats(app)
    assert found["inference_stats"]["success"]["count"] == 1
    assert {one["batch_size"]: one["compute_infer"]["count"] for one in found["batch_stats"]} == {24: 1, 64: 9}
    infer = found["inference_stats"]["compute_infer"]["ns"]
    assert infer == sum(one["compute_infer"]["ns"] for one in found["batch_stats"])


def test_every_protocol_counts(app: FastAPI) -> None:
    ask(app, 1)
    octets = {"Content-Type": "application/octet-stream"}
    assert call(app, body=digits(1, 2).tobytes(), headers=octets).status == 200
    body = json.dumps({"instances": digits(3).tolist()}).encode()
    assert call(app, path="/v1/models/digits:predict", body=body).status == 200
    found = stats(app)
    assert found["inference_count"] == 4
    assert found["inference_stats"]["success"]["count"] == 3


def test_bad_requests_do_not_reach_the_model_and_do_not_count(app: FastAPI) -> None:
    for body in (b"", b"hello", document(tensor(digits(1), datatype="FP32"))):
        assert call(app, path=INFER, body=body).status == 400
    found = stats(app)
    assert found["inference_count"] == found["inference_stats"]["fail"]["count"] == 0


def test_a_request_rejected_by_a_full_queue_counts_as_a_failure(app: FastAPI) -> None:
    async def two_at_once() -> None:
        first = asyncio.ensure_future(acall(app, path=INFER, body=bytes(784 * 1000), headers={LENGTH: "0"}))
        await until(lambda: app.state.context.engine.admission.rows)
        assert (await acall(app, path=INFER, body=bytes(784), headers={LENGTH: "0"})).status == 503
        assert (await first).status == 200

    asyncio.run(two_at_once())
    found = stats(app)
    assert found["inference_stats"]["fail"]["count"] == 1
    assert found["inference_stats"]["success"]["count"] == 1
    assert found["inference_count"] == 1000


def test_each_model_and_version_has_its_own(app: FastAPI) -> None:
    ask(app, 1)
    both = call(app, "GET", "/v2/models/stats").json()["model_stats"]
    assert [(checked(one)["name"], one["inference_count"]) for one in both] == [("digits", 1), ("other", 0)]
    assert stats(app, "/v2/models/digits/versions/1/stats") == both[0]
    assert stats(app, "/v2/models/digits/versions/stable/stats") == both[0]
    publish(app.state.context.engine.repository.root)
    asyncio.run(app.state.context.watcher.look())
    assert (stats(app)["version"], stats(app)["inference_count"]) == ("2", 0)


def test_both_outputs_count_as_one_inference(tmp_path: Path) -> None:
    publish_with_lecture_output(tmp_path)
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    ask(app, 1, 2)
    found = stats(app)
    assert (found["inference_count"], found["execution_count"]) == (2, 1)
    assert found["inference_stats"]["success"]["count"] == 1
    assert b'digits_predictions_total{digit="1",model="digits",version="1"} 1.0' in call(app, "GET", "/metrics").body


def test_a_second_of_calls_takes_no_more_than_a_second(app: FastAPI) -> None:
    """Times are real: of calls made one after the other they cannot exceed the clock's."""
    began, began_cpu = time.perf_counter_ns(), time.process_time_ns()  # the CPU's time passes for us alone
    for _ in range(50):
        ask(app, 1)
    elapsed, elapsed_cpu = time.perf_counter_ns() - began, time.process_time_ns() - began_cpu
    success = stats(app)["inference_stats"]["success"]["ns"]
    assert 0.02 * elapsed_cpu < success < elapsed


@given(st.lists(st.tuples(st.integers(1, 200), st.booleans()), min_size=1, max_size=40))
def test_a_batcher_tells_of_every_row_once(requests: list[tuple[int, bool]]) -> None:
    """Also with cancelled, failing and large requests."""
    told: list[Execution] = []

    def run(rows: Any) -> Any:
        if (rows < 0).any():
            raise ValueError("a poisoned row")
        return rows

    batcher = Batcher(run, AdmissionLimit(10**6), inline_rows=16, piece_rows=50, ran=told.append)

    async def all_at_once() -> None:
        bodies = [np.full((n, 1), 1 if good else -1) for n, good in requests]
        await asyncio.gather(*map(batcher.submit, bodies), return_exceptions=True)

    asyncio.run(all_at_once())
    batcher.close()
    assert sum(one.rows for one in told) == sum(n for n, good in requests if good)
    small = [n for n, good in requests if good and n <= 16]
    assert sum(one.requests for one in told if one.rows <= 16 and one.input_ns) >= len(small) > 0 or not small
    assert all(min(one.rows, one.requests, one.infer_ns) > 0 for one in told)
    assert all(one.waited_ns >= 0 for one in told)


@pytest.mark.slow
def test_statistics_of_several_workers_over_their_sockets(tmp_path: Path) -> None:
    publish(tmp_path)
    with Server(tmp_path, workers=2, feedback_path=tmp_path / "f.sqlite") as server:

        def ask_somebody(__: int) -> int:
            """Over a connection of its own, which either worker may take. Returns who did."""
            status, worker = answered_by(server, INFER, document(tensor(digits(1, 2))))
            assert status == 200
            return worker

        who: list[int] = []
        end = time.monotonic() + PATIENCE_S
        with ThreadPoolExecutor(8) as threads:
            while len(set(who)) < 2:
                assert time.monotonic() < end, "the other worker was never asked"
                who += threads.map(ask_somebody, range(32))
        [found] = server.client.get("/v2/models/digits/stats").json()["model_stats"]
        assert found["inference_count"] == 2 * len(who)
        checked(found)
        assert found["inference_stats"]["success"]["count"] == len(who)
