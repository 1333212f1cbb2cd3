"""deploy/ray/digits.py on a Ray that is started for it, on this machine alone: called as any client would."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray import serve

from service.repository.writer import RepositoryWriter

ROOT = Path(__file__).parents[2]
SEVEN = (ROOT / "docs/seven.png").read_bytes()
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "models"
    shutil.copytree(ROOT / "models", folder, ignore=shutil.ignore_patterns(".lock"))
    return folder


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"DIGITS_MODELS_DIR": str(models), "DIGITS_FEEDBACK_PATH": str(models.parent / "feedback.sqlite")}
    runtime = {"env_vars": settings | {"PYTHONPATH": str(ROOT)}}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=runtime, _node_ip_address="127.0.0.1")
    try:
        from deploy.ray.digits import app

        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app, name="digits")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        serve.shutdown()
        ray.shutdown()


def until(true: Callable[[], Any], patience_s: float = 60) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, f"it did not happen within {patience_s} s"
        time.sleep(0.05)


def test_it_predicts(client: httpx.Client) -> None:
    answer = client.post("/predict", content=SEVEN, headers=PNG)
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["digit"] == 7
    assert answer.headers["x-request-id"]


def test_it_is_the_whole_service(client: httpx.Client) -> None:
    assert client.get("/health/ready").json()["status"] == "ready"
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get("/v1/models/digits").status_code == 200
    assert "digits_request_duration_seconds" in client.get("/metrics").text
    assert "Digit" in client.get("/", headers={"Accept": "text/html"}).text


def test_refusals_are_ours(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b"no picture", headers=PNG)
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_new_version_is_taken_up_and_nobody_notices(client: httpx.Client, models: Path) -> None:
    repository = RepositoryWriter(models)
    before = repository.current("digits")
    other = next(version for version in repository.versions("digits") if version != before)
    seen = {before}

    def ask() -> bool:
        answer = client.post("/predict", content=SEVEN, headers=PNG)
        assert answer.status_code == 200
        seen.add(answer.json()["model"]["version"])
        return other in seen

    ask()
    repository.promote("digits", other)
    until(ask)
    assert seen == {before, other}
