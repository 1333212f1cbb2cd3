"""What a parent hands to its workers. That they start, die and leave is tested in test_main.py and test_drain.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.server.workers import environment_of
from service.settings import Settings
from tests.support.server import PATIENCE_S, ROOT, environment

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
