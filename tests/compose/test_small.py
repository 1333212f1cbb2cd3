"""128 MB and half a CPU still serve: small digits and the largest requests that it then allows, and a new version."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from service.repository.writer import RepositoryWriter
from tests.compose.engine import call, docker, free_port, inspect, logs, until
from tests.compose.stream import stream
from tests.compose.test_image import LOCKED
from tests.support.server import ROOT

Small = tuple[str, int, Path]


@pytest.fixture
def small(image: str, tmp_path: Path) -> Iterator[Small]:
    """Container, port and models."""
    models, port = tmp_path / "models", free_port()
    shutil.copytree(ROOT / "models", models)
    limits = ["--memory", "128m", "--memory-swap", "128m", "--cpus", "0.5"]
    mounts = ["-p", f"127.0.0.1:{port}:8000", "-v", f"{models}:/app/models:ro"]
    container = docker("run", "-d", *LOCKED, *limits, *mounts, image)
    try:
        until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy")
        yield container, port, models
        print(logs(container).splitlines()[0])
        assert not inspect(container)["State"]["OOMKilled"]
        assert inspect(container)["State"]["Running"]
    finally:
        docker("rm", "-f", "-v", container)


def post(port: int, body: bytes, kind: str) -> int:
    return call(port, "POST", "/predict", body, kind)[0]


def test_it_serves(small: Small) -> None:
    with stream(small[1], clients=8) as asking:
        until(lambda: asking.answers > 500)
    asking.check()


def test_it_says_what_it_chose(small: Small) -> None:
    assert "Found 0.5 CPUs and 128 MiB of memory: 1 worker, 1 picture thread" in logs(small[0])


def test_the_largest_requests_it_allows_fit_and_larger_ones_are_refused(small: Small) -> None:
    container, port, _ = small
    digits, million = re.search(r"([\d,]+) digits, a picture of ([\d.]+) million", logs(container)).groups()  # type: ignore[union-attr]
    rows, side = int(digits.replace(",", "")), int((float(million) * 1e6) ** 0.5) - 1
    row = json.dumps([200] * 784)
    for extra, status in ((0, 200), (1, 413)):
        assert post(port, bytes(784 * (rows + extra)), "application/octet-stream") == status
    many = f'{{"instances": [{",".join([row] * 1500)}]}}'.encode()
    assert post(port, many, "application/json") == 200
    for pixels, status in ((side, 200), (2 * side, 413)):
        picture = io.BytesIO()
        drawn = Image.new("RGBA", (pixels, pixels), "white")
        drawn.paste((0, 0, 0, 255), (pixels // 3, pixels // 3, pixels // 2, pixels // 2))
        drawn.save(picture, "png")
        assert post(port, picture.getvalue(), "image/png") == status


def test_a_new_version_is_taken_up(small: Small) -> None:
    """The version is tried out in a process of its own, beside the one that serves: both have to fit."""
    container, port, models = small
    repository = RepositoryWriter(models)
    before = repository.current("digits")
    other = next(version for version in repository.versions("digits") if version != before)
    with stream(port) as asking:
        until(lambda: asking.versions[before] > 20)
        repository.promote("digits", other)
        until(lambda: asking.versions[other] > 20)
    asking.check()
    assert "stays on the version" not in logs(container)
