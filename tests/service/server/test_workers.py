"""What a parent hands to its workers. That they start, die and leave is tested in test_main.py and test_drain.py."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.server.workers import environment_of
from service.settings import Settings
from tests.support.models import publish
from tests.support.processes import worker_processes
from tests.support.server import PATIENCE_S, ROOT, Server, environment
from tests.support.waiting import until

CHANGED: dict[str, Any] = {
    "port": 0,
    "grpc_port": 8001,
    "models_dir": Path("/a folder/models"),
    "workers": 3,
    "admin_key": "a key; with = and 'quotes'",
    "drain_s": 0.5,
    "access_log": True,
    "run_dir": Path("/dev/shm/x"),
}


@pytest.mark.parametrize("changed", [{}, CHANGED], ids=["defaults", "changed"])
def test_workers_read_the_settings_of_their_parent(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    settings = Settings(**changed)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.slow
def test_a_supervisor_that_fails_ends_its_workers_and_itself(models_dir: Path, tmp_path: Path) -> None:
    """Else they would serve on without anybody who replaces them, and no signal would end the service."""
    code = """if True:
        from service.__main__ import main
        from service.server.workers import Workers
        real = Workers._look
        def fails(self):
            real(self)
            if all(worker.ready for worker in self._running()):
                raise RuntimeError("a fault of the supervisor")
        Workers._look = fails
        main([])
    """
    settings = environment(models_dir=models_dir, workers=2, port=0, feedback_path=tmp_path / "f.sqlite")
    done = subprocess.run([sys.executable, "-c", code], env=settings, cwd=ROOT, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert done.stderr.decode().count("a fault of the supervisor") == 1
    assert done.stderr.decode().count("Stopping this worker") == 2


@pytest.mark.slow
def test_a_worker_that_cannot_start_does_not_end_those_that_serve(tmp_path: Path) -> None:
    """Not even if the supervisor, which was busy while another began to serve, hears of the failure first."""
    models = tmp_path / "models"
    publish(models)
    with Server(models, workers=2, feedback_path=tmp_path / "f.sqlite") as server:
        until(lambda: len(worker_processes(server)) == 2)
        time.sleep(0.1)  # they are sent their orders; to import the service takes longer
        supervisor = psutil.Process(server.process.pid)
        first = min(worker_processes(server), key=lambda worker: worker.pid)
        first.suspend()
        supervisor.suspend()
        assert server.client.get("/model").status_code == 200
        models.rename(tmp_path / "away")
        first.resume()
        until(lambda: first.status() == psutil.STATUS_ZOMBIE)
        supervisor.resume()
        until(lambda: all(worker.pid != first.pid for worker in supervisor.children()))
        assert server.client.get("/model").status_code == 200
        (tmp_path / "away").rename(models)
        until(lambda: len(document(server)["workers"]) == 2)
        code, log = server.stop()
    assert code == 0
    assert "A worker cannot start" in log
    assert "No worker could start" not in log


def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get("/models/digits").json()
    return {"workers": [], **found}
