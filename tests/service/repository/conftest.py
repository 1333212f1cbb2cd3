"""An empty model repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.repository.writer import RepositoryWriter


@pytest.fixture
def repository(tmp_path: Path) -> RepositoryWriter:
    return RepositoryWriter(tmp_path / "models")
