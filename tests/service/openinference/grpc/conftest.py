"""One service with gRPC for the tests of this folder, and Triton's own client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from tests.support.grpc_client import ADMIN_KEY, address
from tests.support.models import handwriting, publish
from tests.support.server import Server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of digits (2 is served and reads handwriting), and `shifted`, whose answers are one higher."""
    root = tmp_path_factory.mktemp("models")
    publish(root)
    publish(root, weights=handwriting())
    publish(root, shift=1, name="shifted")
    return root


@pytest.fixture(scope="session")
def running(models: Path) -> Iterator[Server]:
    """`python -m service` with a gRPC port and an admin key."""
    with Server(models, grpc_port=0, admin_key=ADMIN_KEY) as server:
        yield server


@pytest.fixture(scope="session")
def client(running: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(address(running)) as made:
        yield made
