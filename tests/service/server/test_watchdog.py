"""A blocked event loop: noticed, logged with its stack and its request, counted, and ended where that is asked for."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.server.watchdog import STALL_S, STALLED, Watchdog
from tests.support.asgi import until
from tests.support.processes import worker_processes
from tests.support.server import PATIENCE_S, ROOT, Server, environment


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


async def answer(scope: dict[str, Any], request_id: bytes, blocked_s: float) -> None:
    time.sleep(blocked_s)  # noqa: ASYNC251 - the fault that is to be noticed


def test_a_blocked_loop_is_logged_with_stack_and_request_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    stalls: list[float] = []
    beats: list[float] = []

    async def block() -> None:
        watchdog = Watchdog(lambda: stalls.append(time.monotonic()), lambda: beats.append(time.monotonic()))
        task = asyncio.create_task(watchdog.run())
        await until(lambda: beats)
        began = time.monotonic()
        await answer({"method": "POST", "path": "/predict"}, b"mine-1", 3 * STALL_S)
        ended = time.monotonic()
        await until(lambda: beats[-1] > ended)
        task.cancel()
        assert not [beat for beat in beats if began + STALL_S + 0.5 < beat < ended]

    asyncio.run(block())
    assert len(stalls) == 1
    for word in ("has not turned for 1.", "POST '/predict'", "request mine-1", "in answer", "turns again"):
        assert word in caplog.text, caplog.text


def test_short_work_is_no_stall() -> None:
    async def work() -> list[float]:
        stalls: list[float] = []
        beats: list[float] = []
        task = asyncio.create_task(Watchdog(lambda: stalls.append(1), lambda: beats.append(1)).run())
        while len(beats) < 3:
            await answer({}, b"", 0.05)
            await asyncio.sleep(0)
        task.cancel()
        return stalls

    assert asyncio.run(work()) == []


# -- the service --------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.slow

BLOCKED = """
import time
from service.api import health
from service.__main__ import main
@health.router.get("/block")
async def block():
    time.sleep(1000)
main()
"""


def test_one_worker_ends_where_it_is_asked_to(models_dir: Path, tmp_path: Path) -> None:
    """So that a container's supervisor restarts it; SIGTERM would end it too."""
    settings = {"models_dir": models_dir, "port": 0, "loop_exit": True, "loop_timeout_s": 2}
    environ = environment(**settings, feedback_path=tmp_path / "f.sqlite")
    command = [sys.executable, "-c", BLOCKED]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        port = int(process.stderr.readline().rpartition(":")[2])
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health/block", timeout=PATIENCE_S)
        log = process.stderr.read()
    assert process.returncode == STALLED
    assert "in block\n" in log
    assert "GET '/health/block'" in log
    assert "this process ends" in log


def test_a_blocked_service_still_stops(models_dir: Path, tmp_path: Path) -> None:
    environ = environment(models_dir=models_dir, port=0, grace_s=1, feedback_path=tmp_path / "f.sqlite")
    command = [sys.executable, "-c", BLOCKED]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        port = int(process.stderr.readline().rpartition(":")[2])
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"http://127.0.0.1:{port}/health/block", timeout=2)
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
    assert process.returncode == 1
    assert "at once after the grace period of 1 s" in log


def workers_of(server: Server) -> set[int]:
    return {process.pid for process in worker_processes(server)}


def numbers(server: Server) -> dict[str, float]:
    lines = httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_worker_that_hangs_or_dies_is_replaced_logged_and_counted(models_dir: Path, tmp_path: Path) -> None:
    """Stopped as a whole, it reports no turns of its loop; killed, it says nothing either. Counters go on."""
    settings = {"workers": 2, "loop_timeout_s": 2, "run_dir": tmp_path / "run", "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server:
        wait_for(lambda: numbers(server).get("digits_workers") == 2)
        for number, cause in ((signal.SIGSTOP, "stalled"), (signal.SIGKILL, "SIGKILL")):
            victim = min(workers_of(server))
            psutil.Process(victim).send_signal(number)
            wait_for(lambda gone=victim: gone not in workers_of(server))
            wait_for(lambda: len(workers_of(server)) == 2)
            key = f'digits_worker_deaths_total{{cause="{cause}"}}'
            wait_for(lambda key=key: numbers(server).get(key) == 1)
            wait_for(lambda: numbers(server).get("digits_workers") == 2)
        assert len(list((tmp_path / "run").glob("*/*.json"))) == 2
        assert len(list((tmp_path / "run").glob("*/*.ring"))) == 2
        code, log = server.stop()
    assert code == 0, log
    assert "was killed, because its event loop had not turned for 2 s, after " in log
    assert f"Worker {victim} ended (SIGKILL) after " in log
