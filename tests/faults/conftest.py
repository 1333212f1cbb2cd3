"""`make fault-test`: the shim, the table at the end, --long for all of it. No other run collects these tests."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.faults import Faults
from tests.faults.table import Row, markdown, table
from tests.support.results import begins

if not os.environ.get("FAULT_TEST"):
    collect_ignore_glob = ["test_*.py"]

ROWS = pytest.StashKey[list[Row]]()
SEED = 11
MARKDOWN = Path("build/fault-test.md")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="more of everything: half an hour in place of seven minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    for line in table(rows):
        terminalreporter.write_line(line)
    if rows:
        MARKDOWN.parent.mkdir(exist_ok=True)
        MARKDOWN.write_text(markdown(rows, "make fault-test" + (" ARGS=--long" if config.getoption("--long") else "")))
        terminalreporter.write_line(f"The same as Markdown: {MARKDOWN}")


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str], Row]:
    """Begins a row of the table."""
    return begins(request.config.stash[ROWS], Row)


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """The same in every run of the same test."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("SKIPPED: no C compiler (cc) here, so no file call can be made to fail")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def faults(shim: Path, tmp_path: Path) -> Faults:
    """Faults below the folder `models` of this test."""
    return Faults(shim, tmp_path / "control", tmp_path / "models")
