"""What a parent hands to its workers. That they start, die and leave is tested in test_main.py and test_drain.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.server.workers import environment_of
from service.settings import Settings

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
