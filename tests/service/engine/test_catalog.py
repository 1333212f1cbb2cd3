"""The list of all models: those that are whole, and those that cannot be read, each for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.engine.catalog import catalog
from service.repository.repository import Repository
from service.repository.volume import Volume
from tests.support.models import publish


def test_models_and_troubles_and_nothing_else(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, name="waiting", promote=False)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "my model").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "feedback.sqlite").write_bytes(b"")
    found = asyncio.run(catalog(Repository(tmp_path), Volume(5)))
    assert sorted(found) == ["digits", "loop", "my model", "waiting"]
    assert {name: bool(model.trouble) for name, model in found.items()} == {
        "digits": False,
        "loop": True,
        "my model": True,
        "waiting": False,
    }
