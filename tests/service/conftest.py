"""Fixtures of the service's tests: a folder of models, the application in this process, a server on a port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.support.models import handwriting, publish
from tests.support.refusals import LIMITS
from tests.support.server import Server


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of digits, of which 2 is served, and a second model, shifted, whose answers are one higher."""
    root = tmp_path_factory.mktemp("models")
    publish(root, shift=5)
    publish(root, weights=handwriting())
    publish(root, shift=7, promote=False)
    publish(root, shift=1, name="shifted")
    return root


@pytest.fixture(scope="session")
def app(models_dir: Path) -> FastAPI:
    """The application in this process, with the default limits."""
    return create_app(Settings(models_dir=models_dir, allowed_hosts="*", feedback_path=models_dir / "feedback.sqlite"))


@pytest.fixture(scope="session")
def strict_app(models_dir: Path) -> FastAPI:
    """The same with low limits."""
    return create_app(
        Settings(models_dir=models_dir, allowed_hosts="*", feedback_path=models_dir / "feedback.sqlite", **LIMITS)
    )


@pytest.fixture(scope="session")
def server(models_dir: Path) -> Iterator[Server]:
    """`python -m service` on a port of its own, with the default limits."""
    with Server(models_dir) as running:
        yield running


@pytest.fixture(scope="session")
def strict_server(models_dir: Path) -> Iterator[Server]:
    """The same with low limits."""
    with Server(models_dir, **LIMITS) as running:
        yield running
