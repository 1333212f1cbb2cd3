"""Fixtures of the trials on a real engine: a checkout of their own, the images, a Compose project, a Swarm.

Only `make compose-test` collects these tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.engine import Project, build, docker, free_port

ROOT = Path(__file__).parents[2]
NAMES = ("Dockerfile", ".dockerignore", "docker-compose.yml", "docker-compose.override.yml")
FOLDERS = ("deploy", "models", "requirements", "service", "training", "tests/compose", "docs")

if not os.environ.get("COMPOSE_TEST"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base that the Dockerfile names."""
    line = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ARG PYTHON_IMAGE="))
    return line.partition("=")[2]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Path:
    """A copy of what a user has, with a .env of its own: trials must not touch the models of this one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in NAMES:
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".lock"))
    (folder / "data").mkdir()
    (folder / "runs").mkdir()
    settings = {
        "COMPOSE_PROJECT_NAME": "digits-trial",
        "BUILD_NETWORK": "host",
        "IMAGE": "digits-trial",
        "TRAINING_IMAGE": "digits-trial-training",
        "HAPROXY_IMAGE": "digits-trial-haproxy",
        "PROMETHEUS_IMAGE": "digits-trial-prometheus",
        "UID": os.getuid(),
        "GID": os.getgid(),
        **{f"{name}PORT": free_port() for name in ("", "GRPC_", "BALANCER_", "PROMETHEUS_")},
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return folder


@pytest.fixture(scope="session")
def image(checkout: Path) -> str:
    """The service image, as `docker compose build` makes it."""
    Project(checkout).compose("build", "service")
    return "digits-trial"


@pytest.fixture(scope="session")
def training_image(checkout: Path, image: str) -> str:
    Project(checkout).compose("--profile", "training", "build", "training")
    return "digits-trial-training"


@pytest.fixture(scope="session")
def haproxy_image(checkout: Path, base_image: str) -> str:
    return build(checkout / "tests/compose/haproxy.Dockerfile", "digits-trial-haproxy", base_image)


@pytest.fixture(scope="session")
def prometheus_image(checkout: Path, base_image: str) -> str:
    return build(checkout / "tests/compose/prometheus.Dockerfile", "digits-trial-prometheus", base_image)


@pytest.fixture
def project(checkout: Path, image: str) -> Iterator[Project]:
    """A Compose project that is gone, volumes and all, when the test ends."""
    project = Project(checkout)
    try:
        yield project
    finally:
        project.down()


@pytest.fixture
def swarm() -> Iterator[None]:
    """A Swarm of one node, unless there is one."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this engine is part of a Swarm already, which is not ours to try things in")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")
