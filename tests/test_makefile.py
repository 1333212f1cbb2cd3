"""Set-up by make: an interrupted set-up is repaired by the next call, and a complete one is not repeated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # virtual environments are made
ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile only: make can create the virtual environment, and install nothing into it."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(folder: Path, target: str = ".venv/.whole") -> str:
    command = ["make", target, f"PYTHON={sys.executable}"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    done = subprocess.run(
        command, cwd=folder, env=outside | {"LC_ALL": "C"}, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def pip_answers(folder: Path) -> bool:
    return subprocess.run([folder / ".venv/bin/python", "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_an_interrupted_environment_is_made_anew(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    assert not pip_answers(folder)
    assert "anew" in make(folder)
    assert pip_answers(folder)
    assert "up to date" in make(folder)


def test_a_whole_environment_is_left_alone(folder: Path) -> None:
    """An environment without a stamp, made by hand or by an older version; recognised here by its dummy pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (site,) = (folder / ".venv").glob("lib/python*/site-packages")
    (site / "pip.py").write_text("print('pip 99')")
    make(folder)
    assert (site / "pip.py").exists()
    assert "up to date" in make(folder)


def test_an_environment_whose_python_is_gone_is_made_anew(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (folder / ".venv/.whole").touch()
    python = folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    make(folder)
    assert pip_answers(folder)
