"""What a parent hands to its workers. That they start, die and leave is tested in test_main.py and test_drain.py."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from service.server.workers import environment_of, shared_folder
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


def test_the_shared_folder_is_for_this_user_alone_and_goes_with_it() -> None:
    with shared_folder() as name:
        assert Path(name).stat().st_mode & 0o777 == 0o700
    assert not Path(name).exists()


def test_without_a_writable_temporary_folder_memory_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("there is no /dev/shm here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with shared_folder() as name:
        assert Path(name).parent == Path("/dev/shm")
