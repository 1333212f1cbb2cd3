"""Every image has an exact version, in the Dockerfile, the Compose files and deploy/; ours has that of the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.deploy.files import BASE, DEPLOY, OVERRIDE, ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
EXACT = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?(@sha256:[0-9a-f]{64})?")
FILES = [ROOT / "Dockerfile", ROOT / BASE, ROOT / OVERRIDE, ROOT / ".env.example"]
FILES += [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


def images(path: Path) -> list[str]:
    """Images that the file names, as they are where no variable is set."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text())
    if path.name == "Dockerfile":
        stages = set(re.findall(r" AS (\S+)$", text, re.M))
        bases = [base for base in re.findall(r"^FROM (\S+)", text, re.M) if base not in stages]
        return [re.sub(r"\$\{(\w+)\}", lambda found: _argument(text, found[1]), base) for base in bases]
    found = re.findall(r"^[\s-]*(?:image|PYTHON_IMAGE): *(\S+)|^#?\w*IMAGE=(\S+)|--image[ =](\S+)", text, re.M)
    return [next(filter(None, groups)).strip("\"'") for groups in found]


def _argument(text: str, name: str) -> str:
    (default,) = re.findall(rf"^ARG {name}=(\S+)$", text, re.M)
    return default


NAMED = [(path, image) for path in FILES for image in images(path)]


@pytest.mark.parametrize(("path", "image"), NAMED, ids=lambda value: value if isinstance(value, str) else value.name)
def test_it_has_an_exact_version(path: Path, image: str) -> None:
    assert EXACT.fullmatch(image), f"{path.relative_to(ROOT)}: {image}"


def test_the_files_are_read() -> None:
    named = {path.name for path, _ in NAMED}
    assert {"Dockerfile", BASE, OVERRIDE, ".env.example", "deployment.yaml", "inferenceservice.yaml"} <= named
    (tag,) = re.findall(r"newTag: (\S+)", (DEPLOY / "kubernetes/kustomization.yaml").read_text())
    assert tag == VERSION


def test_our_images_have_the_version_of_the_package() -> None:
    ours = {image for path, image in NAMED if image.startswith("digit-recognizer") and path.parent.name != "swarm"}
    assert {image.partition(":")[2] for image in ours} == {VERSION}
    assert re.findall(r"^ARG VERSION=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M) == [VERSION]


def test_one_version_of_each_image() -> None:
    versions = {image.partition(":")[0]: image for _, image in NAMED if not image.startswith("digit-recognizer")}
    assert {image for _, image in NAMED if not image.startswith("digit-recognizer")} == set(versions.values())
    assert versions.keys() == {"python", "haproxy", "prom/prometheus", "grafana/grafana"}
