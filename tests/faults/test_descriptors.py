"""No file descriptor is left in the whole service for some seconds, as when a limit is too low for the connections."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document
from tests.faults.table import Row
from tests.support.models import digit, publish
from tests.support.server import Server
from tests.support.waiting import until

EMPTY_S = 4.0


@contextmanager
def no_descriptors_left(server: Server) -> Iterator[None]:
    """Nothing can be opened in any process of the service: what is open stays so."""
    service = psutil.Process(server.process.pid)
    processes = [service, *service.children()]
    before = [process.rlimit(psutil.RLIMIT_NOFILE) for process in processes]
    for process in processes:
        process.rlimit(psutil.RLIMIT_NOFILE, (1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        for process, limits in zip(processes, before, strict=True):
            if process.is_running():
                process.rlimit(psutil.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_descriptor_in_the_whole_service(tmp_path: Path, row: Callable[[str], Row], workers: int) -> None:
    """Connections that are there are answered; new ones, files and promotions come when there are descriptors again."""
    line = row(f"EMFILE in the whole service for {EMPTY_S:g} s, {workers} worker(s)")
    root, feedback = tmp_path / "models", tmp_path / "f.sqlite"
    publish(root)
    publish(root, shift=1, promote=False)
    stored = 0
    with (
        Server(root, workers=workers, feedback_path=feedback, watch_interval_s=0.1) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        until(lambda: document(server, "/health/ready")["status"] == "ready" and serving(server, 1) == workers)
        asking.more()
        server.client.get("/health/live")  # the connection on which labels are sent
        with no_descriptors_left(server):
            RepositoryWriter(root).promote("digits", 2)
            end = time.monotonic() + EMPTY_S
            while time.monotonic() < end:
                asking.more(10)
                answer = server.client.post("/feedback", json={"digit": another(stored), "label": 1})
                assert answer.status_code in (200, 201, 503, 507)
                stored += answer.status_code == 201
        line.recovery_s.append(until(lambda: serving(server, 2) == workers))
        assert server.client.get("/health/ready").status_code == 200
        asking.more()
        asking.stop()
        line.times, line.answers = 1, asking.answers.total()
        line.lost = len(asking.failed) + max(0, stored - server.client.get("/feedback/stats").json()["digits"])
        code, log = server.stop()
    line.wrong = len(asking.wrong)
    assert (code, asking.failed, asking.wrong, line.lost) == (0, [], [], 0)
    assert "Traceback" not in log


def another(number: int) -> list[list[int]]:
    """A digit that no other number has."""
    pixels = digit(1)
    pixels[0, :2] = divmod(number, 256)
    return [[int(value) for value in row] for row in pixels]


def serving(server: Server, version: int) -> int:
    """Workers that serve this version."""
    return [worker["version"] for worker in document(server, "/models/digits")["workers"]].count(version)
