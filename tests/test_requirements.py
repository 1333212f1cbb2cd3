"""requirements/*.txt: each package has one version, and hashes; pyproject.toml agrees; every install checks them."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.requirements import Pin, packages, pins

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
FILES = sorted(FOLDER.glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = {  # what must be in which files
    "build": PROJECT["build-system"]["requires"],
    "service": PROJECT["project"]["dependencies"],
    **PROJECT["project"]["optional-dependencies"],
}
BELOW = {"dev": ["service", "grpc"], "gpu": ["service", "grpc"], "tools": [], "build": []}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_package_has_hashes(path: Path) -> None:
    locked = pins(path)
    assert locked
    assert [pin.name for pin in locked if not pin.hashes] == []


def test_what_is_installed_together_agrees() -> None:
    """One version of each package for each kind of machine; only the tools have an environment of their own."""
    found: dict[tuple[str, str], set[Pin]] = defaultdict(set)
    for path in FILES:
        for pin in pins(path):
            if path.stem != "tools":
                found[pin.name, pin.marker].add(pin)
    assert [name for name, different in found.items() if len(different) > 1] == []


@pytest.mark.parametrize("name", NEEDED)
def test_pyproject_is_locked(name: str) -> None:
    locked = {
        pin.name: pin.version for part in (*BELOW.get(name, ["service"]), name) for pin in pins(FOLDER / f"{part}.txt")
    }
    for line in NEEDED[name]:
        wanted = Requirement(line)
        package = canonicalize_name(wanted.name)
        assert package in {*locked, "digit-recognizer"}, f"{line} is not locked: make update-constraints ARGS=--keep"
        assert package not in locked or wanted.specifier.contains(locked[package]), line


def test_a_file_holds_only_what_those_below_do_not() -> None:
    for name, below in {"grpc": ["service"], "docs": ["service"], "dev": BELOW["dev"], "gpu": BELOW["gpu"]}.items():
        for other in below:
            assert packages(FOLDER / f"{name}.txt").isdisjoint(packages(FOLDER / f"{other}.txt"))


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile", "tests/ray/run"])
def test_every_install_checks_hashes_or_fetches_nothing(name: str) -> None:
    text = re.sub(r" *\\\n\s*", " ", (ROOT / name).read_text())
    installs = re.findall(r"[^&\n]*(?:\binstall|pip\[@\]\}\") -[^&\n]*", text)
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line or "apt-get" in line, line
