"""A version that loops for ever on some digits: 504, then another version, or 503; and the service stops when told."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from service.engine.run_timeouts import MAX_TIMEOUTS, RunTimeouts
from service.errors import Unavailable
from service.openinference.grpc.server import CODES
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.hostile import loops
from tests.support.models import card_for, classifier, digit, publish, publish_broken
from tests.support.server import Server

pytestmark = pytest.mark.slow

PATIENCE_S = 60
OCTETS = {"content-type": "application/octet-stream"}
LIMITS = {"allowed_operators": "Loop", "run_timeout_s": 2}


def endless(value: int) -> bytes:
    pixels = digit(value)
    pixels[27, 27] = 255
    return pixels.tobytes()


def publish_looping(root: Path) -> int:
    return publish_broken(root, loops(), **card_for(classifier()))


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def predict(server: Server, body: bytes) -> Any:
    return server.client.post("/predict", content=body, headers=OCTETS)


@pytest.fixture
def looping(tmp_path: Path) -> Iterator[Server]:
    """Version 2 loops on some digits, version 1 was served before."""
    publish(tmp_path)
    publish_looping(tmp_path)
    with Server(tmp_path, **LIMITS) as server:
        yield server


def test_it_is_replaced_by_the_version_served_before(looping: Server) -> None:
    client = looping.client
    assert predict(looping, digit(3).tobytes()).json()["model"]["version"] == 2
    first = predict(looping, endless(3))
    assert (first.status_code, first.headers["content-type"]) == (504, "application/problem+json")
    assert first.json()["detail"] == "The model took longer than 2 s, and its run was ended."
    assert predict(looping, digit(3).tobytes()).json()["model"]["version"] == 2
    v1 = client.post("/v1/models/digits:predict", json={"instances": [list(endless(3))]})
    assert v1.status_code == 504, v1.text
    assert "took longer" in v1.json()["error"]
    tensor = {"name": "pixels", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": list(endless(3))}
    v2 = client.post("/v2/models/digits/infer", json={"inputs": [tensor]})
    assert v2.status_code == 504, v2.text
    assert MAX_TIMEOUTS == 3
    until(lambda: client.get("/models/digits").json()["version"] == 1)
    answer = predict(looping, endless(3))
    assert answer.status_code == 200
    assert answer.json()["model"]["version"] == 1
    ready = client.get("/health/ready").json()
    assert ready["status"] == "ready"
    assert "taken out of service: 3 runs took too long" in ready["refused"]["digits"]


def test_without_another_version_it_is_not_ready_until_one_is_promoted(tmp_path: Path) -> None:
    publish_looping(tmp_path)
    with Server(tmp_path, **LIMITS) as server:
        assert [predict(server, endless(1)).status_code for _ in range(MAX_TIMEOUTS)] == [504] * MAX_TIMEOUTS
        after = predict(server, endless(1))
        assert after.status_code == 503
        assert "taken out of service" in after.json()["detail"]
        assert int(after.headers["retry-after"]) >= 1
        until(lambda: server.client.get("/health/ready").status_code == 503)
        assert "taken out of service" in server.client.get("/health/ready").json()["reason"]
        assert server.client.get("/health/live").status_code == 200
        publish(tmp_path, shift=1)
        until(lambda: server.client.get("/health/ready").status_code == 200)
        assert predict(server, endless(1)).json()["predictions"][0]["digit"] == 2


def test_a_canary_that_loops_is_rolled_back(tmp_path: Path) -> None:
    publish(tmp_path)
    looping = publish_looping(tmp_path)
    repository = RepositoryWriter(tmp_path)
    repository.rollback("digits")
    repository.start_rollout("digits", RolloutPlan(looping, percent=100, max_errors=1.0))
    with Server(tmp_path, **LIMITS) as server:
        until(lambda: server.client.get("/models/digits").json()["trial"] is not None)
        until(lambda: predict(server, digit(1).tobytes()).json()["model"]["version"] == looping)
        found = [predict(server, endless(2)) for _ in range(MAX_TIMEOUTS + 1)]
        assert [(answer.status_code, answer.json()["model"]["version"]) for answer in found] == [(200, 1)] * 4
        until(lambda: server.client.get("/models/digits").json()["last_trial"] is not None)
        assert "took too long" in server.client.get("/models/digits").json()["last_trial"]["verdict"]


@pytest.mark.parametrize("count", [1, 500], ids=["on the event loop", "in the thread of big arrays"])
def test_the_service_stops_while_a_run_loops(tmp_path: Path, count: int) -> None:
    publish_looping(tmp_path)
    with Server(tmp_path, **LIMITS | {"run_timeout_s": 5}) as server, ThreadPoolExecutor(1) as aside:
        before = cpu_s(server)
        hung = aside.submit(predict, server, endless(1) * count)
        until(lambda: cpu_s(server) > before + 0.2)  # more than anything but the loop takes
        server.process.send_signal(signal.SIGTERM)
        assert hung.result(timeout=PATIENCE_S).status_code == 504
        assert server.process.wait(timeout=PATIENCE_S) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [1, 500], ids=["on the event loop", "in the thread of big arrays"])
def test_a_stop_does_not_wait_for_a_limit_that_is_longer_than_its_own(tmp_path: Path, count: int, workers: int) -> None:
    """The run is ended before the grace period is over: its caller is told, and nothing is cut short."""
    publish_looping(tmp_path)
    limits = LIMITS | {"run_timeout_s": 3600, "grace_s": 6, "workers": workers}
    with Server(tmp_path, **limits) as server, ThreadPoolExecutor(1) as aside:
        until(lambda: f"digits_workers {workers}.0" in server.client.get("/metrics").text)
        before = cpu_s(server)
        hung = aside.submit(predict, server, endless(1) * count)
        until(lambda: cpu_s(server) > before + 0.5)  # more than anything but the loop takes
        server.process.send_signal(signal.SIGTERM)
        answer = hung.result(timeout=PATIENCE_S)
        assert (answer.status_code, "is stopping" in answer.json()["detail"]) == (504, True)
        assert server.process.wait(timeout=PATIENCE_S) == 0


def test_while_load_balancers_are_told_runs_have_their_usual_limit(tmp_path: Path) -> None:
    """Requests still come then, and must not be ended as those are that would be cut short."""
    publish_looping(tmp_path)
    limits = LIMITS | {"run_timeout_s": 2.5, "drain_s": 7, "grace_s": 9}
    with Server(tmp_path, **limits) as server:
        assert predict(server, digit(3).tobytes()).status_code == 200  # before it serves, a signal ends it at once
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.client.get("/health/ready").status_code == 503)
        answer = predict(server, endless(1) * 500)
        assert (answer.status_code, "took longer than 2.5 s" in answer.json()["detail"]) == (504, True)
        server.stop(signal.SIGKILL)


def cpu_s(server: Server) -> float:
    """CPU time of the service so far."""
    service = psutil.Process(server.process.pid)
    return float(sum(sum(each.cpu_times()[:2]) for each in [service, *service.children(recursive=True)]))


def test_grpc_says_that_the_deadline_is_over() -> None:
    assert CODES[504] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_count_of_one_version() -> None:
    timeouts = RunTimeouts("digits", 2)
    for _ in range(MAX_TIMEOUTS):
        timeouts.check()
        timeouts.add()
    assert timeouts.withdrawn
    with pytest.raises(Unavailable, match="digits version 2 was taken out of service"):
        timeouts.check()
