"""Loading a version to serve: what passes its try-out and then fails here is tried again, and is not refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from service.engine.engine import Engine
from service.engine.loader import Loader
from service.errors import ModelBroken, Unavailable
from service.repository.volume import Volume
from service.settings import Settings
from service.telemetry.metrics import Meter
from tests.support.models import publish


class Replacing(Engine):
    """Its version is replaced by a broken one between try-out and loading."""

    def load(self, name: str, version: int | None = None, tried: str | None = None):  # type: ignore[no-untyped-def]
        (self.repository.root / name / str(version) / "model.onnx").write_bytes(b"other bytes")
        return super().load(name, version, tried)


def settings(root: Path) -> Settings:
    return Settings(models_dir=root, feedback_path=root / "feedback.sqlite")


def test_a_good_version(tmp_path: Path) -> None:
    publish(tmp_path)
    loader = Loader(Engine(settings(tmp_path), Meter()), Volume(30))
    loaded = asyncio.run(loader.load("digits", 1))
    assert (loaded.name, loaded.version) == ("digits", 1)
    loaded.close()


def test_a_broken_version_is_refused(tmp_path: Path) -> None:
    publish(tmp_path)
    card = tmp_path / "digits/1/card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": "0" * 64}))
    with pytest.raises(ModelBroken, match="SHA-256"):
        asyncio.run(Loader(Engine(settings(tmp_path), Meter()), Volume(30)).load("digits", 1))


def test_what_passed_its_try_out_and_fails_here_is_tried_again(tmp_path: Path) -> None:
    publish(tmp_path)
    with pytest.raises(Unavailable):
        asyncio.run(Loader(Replacing(settings(tmp_path), Meter()), Volume(30)).load("digits", 1))
