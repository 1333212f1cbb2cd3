"""Leaving: what a service that is told to stop answers, refuses and finishes, when it ends and with which code."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.server.drain import SAME_STOP_S, Drain
from service.settings import Settings
from tests.support.asgi import acall, call, until
from tests.support.models import digit
from tests.support.processes import worker_processes
from tests.support.server import PATIENCE_S, Server

pytestmark = pytest.mark.slow

OCTETS = {"Content-Type": "application/octet-stream"}
BODY = digit(3).tobytes()


@pytest.fixture
def leaving(models_dir: Path) -> FastAPI:
    app = create_app(Settings(models_dir=models_dir))
    app.state.context.drain.leaving = True
    return app


@pytest.fixture
def refusing(leaving: FastAPI) -> FastAPI:
    leaving.state.context.drain.refusing = True
    return leaving


# -- what is answered on the way ----------------------------------------------------------------------------------


def test_who_leaves_is_not_ready_and_answers_on(leaving: FastAPI) -> None:
    ready = call(leaving, "GET", "/health/ready")
    assert (ready.status, ready.json()["status"]) == (503, "not ready")
    assert "draining" in ready.json()["reason"]
    answer = call(leaving, body=BODY, headers=OCTETS)
    assert (answer.status, answer.json()["predictions"][0]["digit"]) == (200, 3)


def test_who_leaves_sends_clients_elsewhere(leaving: FastAPI, app: FastAPI) -> None:
    for method, path in (("POST", "/predict"), ("GET", "/health/ready"), ("GET", "/model"), ("GET", "/nothing")):
        assert call(leaving, method, path, BODY, OCTETS).headers["connection"] == "close"
        assert "connection" not in call(app, method, path, BODY, OCTETS).headers


def test_who_refuses_says_so_and_when_to_ask_again(refusing: FastAPI) -> None:
    answer = call(refusing, body=BODY, headers=OCTETS)
    assert answer.status == 503
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry" in answer.json()["detail"]


def test_who_refuses_still_tells_orchestrators_how_it_is(refusing: FastAPI) -> None:
    assert call(refusing, "GET", "/health/live").status == 200
    assert call(refusing, "GET", "/health/ready").status == 503
    assert b"digits_request_duration_seconds" in call(refusing, "GET", "/metrics").body


def test_a_refusal_waits_only_so_long_for_a_body(refusing: FastAPI) -> None:
    request = acall(refusing, body=[BODY], headers=OCTETS, unfinished=True)
    answer = asyncio.run(asyncio.wait_for(request, PATIENCE_S))
    assert answer.status == 503


# -- when it ends -------------------------------------------------------------------------------------------------


def test_leaving_takes_the_drain_and_then_as_long_as_requests_take() -> None:
    async def leave() -> list[tuple[bool, bool]]:
        drain = Drain(drain_s=0.2)
        drain.inside = 1
        seen = [(drain.leaving, drain.refusing)]
        end = asyncio.create_task(drain.leave(0.2))
        await until(lambda: drain.leaving)
        seen.append((drain.leaving, drain.refusing))
        await until(lambda: drain.refusing)
        seen.append((drain.leaving, drain.refusing))
        assert not end.done()
        drain.inside = 0
        await end
        return seen

    assert asyncio.run(leave()) == [(False, False), (True, False), (True, True)]


def test_every_way_out_of_a_request_is_counted(app: FastAPI) -> None:
    drain = app.state.context.drain
    for method, path, body in (
        ("POST", "/predict", BODY),
        ("POST", "/predict", b"x"),
        ("GET", "/nothing", b""),
        ("PUT", "/predict", b""),
    ):
        call(app, method, path, body, OCTETS)
        assert drain.inside == 0


# -- the real thing -----------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """Clients that ask one digit after the other, each over a connection that it keeps until told otherwise."""

    port: int
    statuses: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    closed: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        while not self.over.is_set():
            try:
                connection.request("POST", "/predict", BODY, OCTETS)
                answer = connection.getresponse()
                answer.read()
            except OSError as error:
                self.problems.append(repr(error))
                return
            self.statuses.append(answer.status)
            if answer.getheader("connection") == "close":
                self.closed += 1
                connection.close()
            if answer.status != 200:
                break
        connection.close()


@contextmanager
def stream(port: int, clients: int = 4) -> Iterator[Stream]:
    asking = Stream(port)
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(asking.ask)
        try:
            yield asking
        finally:
            asking.over.set()


def wait_for(true: object, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def ended(server: Server) -> tuple[int, str]:
    """Exit code and log of a server that was told already."""
    server.process.wait(PATIENCE_S)
    return server.stop()


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_of_requests_sees_no_error_while_load_balancers_are_told(
    models_dir: Path, tmp_path: Path, workers: int
) -> None:
    """For drain_s, here without end, the service answers everybody, though it is not ready."""
    settings = {"drain_s": 3000, "grace_s": 3600, "workers": workers, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server:
        with stream(server.port) as asking:
            wait_for(lambda: len(asking.statuses) > 100)
            server.process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            wait_for(lambda: not ready(server.port))
            before = len(asking.statuses)
            wait_for(lambda: len(asking.statuses) > before + 100)
            wait_for(lambda: time.monotonic() > told + 1.5)  # signals within a second are one stop
        _, log = server.stop()  # told twice: it does not wait for the end of drain_s
    assert set(asking.statuses) == {200}
    assert asking.problems == []
    assert asking.closed > 100
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", [1, 2])
def test_it_ends_well_after_drain_s(models_dir: Path, tmp_path: Path, workers: int) -> None:
    with Server(models_dir, workers=workers, drain_s=0.7, feedback_path=tmp_path / "f.sqlite") as server:
        wait_for(lambda: ready(server.port))
        start = time.monotonic()
        code, log = server.stop()
    assert code == 0, log
    assert time.monotonic() - start > 0.6


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_that_are_running_finish_and_new_ones_are_refused(
    models_dir: Path, tmp_path: Path, workers: int
) -> None:
    with Server(models_dir, workers=workers, grace_s=60, feedback_path=tmp_path / "f.sqlite") as server:
        with slow_upload(server) as upload:
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: refusal(server.port))
            status, headers = refusal(server.port) or (0, {})
            assert status == 503
            assert headers["connection"] == "close"
            assert int(headers["retry-after"]) >= 1
            upload.sendall(BODY[392:])
            answer = upload.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"connection: close" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"][0]["digit"] == 3
        code, log = ended(server)
        assert code == 0, log


@contextmanager
def slow_upload(server: Server) -> Iterator[socket.socket]:
    """A request of which half has come; the service has begun to read it."""
    with server.socket() as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n"
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY[:392])
        yield connection


def refusal(port: int) -> tuple[int, httpx.Headers] | None:
    """Status and headers of a new request, once it is not answered any more. With two workers one may be done."""
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=BODY, headers=OCTETS, timeout=PATIENCE_S)
    except httpx.TransportError:
        return None
    return (answer.status_code, answer.headers) if answer.status_code != 200 else None


@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_of_the_grace_stops_it_at_once(models_dir: Path, tmp_path: Path, workers: int) -> None:
    settings = {"workers": workers, "drain_s": 0.1, "grace_s": 1, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, slow_upload(server):
        start = time.monotonic()
        code, log = server.stop()
    assert time.monotonic() - start > 0.9
    assert code == 1
    assert "at once after the grace period of 1 s; requests cut short: 1" in log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_stops_it_at_once(models_dir: Path, tmp_path: Path, workers: int) -> None:
    settings = {"workers": workers, "grace_s": 3000, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, slow_upload(server):
        server.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        wait_for(lambda: not ready(server.port))
        wait_for(lambda: time.monotonic() - told > SAME_STOP_S + 0.1)
        code, log = server.stop()
    assert code == 1
    assert "at once after a second signal; requests cut short: " in log


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_waits_for_no_load_balancer(models_dir: Path, tmp_path: Path, workers: int) -> None:
    settings = {"workers": workers, "drain_s": 600, "grace_s": 3000, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server:
        wait_for(lambda: ready(server.port))
        code, log = server.stop(signal.SIGINT)  # which waits a tenth of the drain at most
    assert code == 0, log


def test_idle_connections_hold_nobody_up(models_dir: Path, tmp_path: Path) -> None:
    with Server(models_dir, grace_s=600, feedback_path=tmp_path / "f.sqlite") as server, server.socket() as idle:
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000)
        assert server.stop()[0] == 0


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_of(server: Server) -> list[psutil.Process]:
    return [psutil.Process(server.process.pid), *worker_processes(server)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_to_all_processes_cut_nothing_short(
    models_dir: Path, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    """As systemd stops a service, and again and again within a second, as by `timeout` to a process and its group."""
    with Server(models_dir, workers=workers, grace_s=60, feedback_path=tmp_path / "f.sqlite") as server:
        wait_for(lambda: ready(server.port))
        wait_for(lambda: len(processes_of(server)) == (1 if workers == 1 else 3))
        with slow_upload(server) as upload:
            for process in processes_of(server) * 3:
                process.send_signal(number)
            wait_for(lambda: not ready(server.port))
            upload.sendall(BODY[392:])
            answer = upload.makefile("rb").read()
        code, log = ended(server)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert code == 0, log
    assert "Traceback" not in log


def test_a_hang_up_after_the_signal_does_not_hurry(models_dir: Path, tmp_path: Path) -> None:
    """systemd's SendSIGHUP sends it right after SIGTERM, a terminal that closes at any time."""
    with Server(models_dir, grace_s=60, feedback_path=tmp_path / "f.sqlite") as server, slow_upload(server) as upload:
        server.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        wait_for(lambda: not ready(server.port))
        wait_for(lambda: time.monotonic() - told > SAME_STOP_S + 0.1)
        server.process.send_signal(signal.SIGHUP)
        upload.sendall(BODY[392:])
        assert upload.makefile("rb").read().startswith(b"HTTP/1.1 200")
        assert ended(server)[0] == 0


def test_a_worker_that_stops_alone_leaves_its_port_to_the_others(models_dir: Path, tmp_path: Path) -> None:
    """Every client gets its answer, the service stays ready, and another worker takes the place."""
    settings = {"workers": 2, "drain_s": 30, "grace_s": 60, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server:
        wait_for(lambda: len(processes_of(server)) == 3)
        wait_for(lambda: httpx.get(f"{server.url}/metrics").text.count("digits_workers 2.0"))
        with stream(server.port) as asking:
            wait_for(lambda: len(asking.statuses) > 50)
            first = processes_of(server)[1]
            first.send_signal(signal.SIGTERM)
            while runs(first):
                assert ready(server.port)
            wait_for(lambda: len(processes_of(server)) == 3)
        assert ready(server.port)
        code, log = server.stop(signal.SIGINT)
    assert set(asking.statuses) == {200}
    assert asking.problems == []
    assert code == 0, log
    assert f"Worker {first.pid} ended (exit 0)" in log


def test_all_workers_that_stop_are_not_ready(models_dir: Path, tmp_path: Path) -> None:
    """Each of two applications that share a folder asks whether the other one goes on."""
    one, other = (create_app(Settings(models_dir=models_dir, run_dir=tmp_path)) for _ in range(2))
    one.state.context.drain.whole = other.state.context.drain.whole = False
    other.state.context.scoreboard.publish()
    one.state.context.drain.leaving = True
    assert call(one, "GET", "/health/ready").status == 200
    other.state.context.drain.leaving = True
    other.state.context.scoreboard.publish()
    assert call(one, "GET", "/health/ready").status == 503
