"""What an import loads, checked in fresh interpreters. `make lint` checks which package may import which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

ROOT = Path(__file__).parents[1]
TRAINER = ["tensorflow", "keras", "tf2onnx", "training", "pandas", "sklearn", "matplotlib", "scipy", "onnx", "torch"]
NOT_AT_START = ["PIL"]
SHARED = [  # what the trainer uses of the service
    "service.engine.model",
    "service.errors",
    "service.feedback.store",
    "service.inputs.images",
    "service.repository.repository",
    "service.repository.rollout_plan",
]


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after some code."""
    code = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return set(process.stdout.split())


def test_the_service_loads_nothing_of_the_trainer() -> None:
    assert not loaded("import service.app, service.start, service.__main__") & {*TRAINER, *NOT_AT_START, "tests"}


@pytest.mark.parametrize("module", SHARED)
def test_what_the_trainer_shares_loads_no_http(module: str) -> None:
    assert not loaded(f"import {module}") & {"fastapi", "starlette", "uvicorn", *TRAINER, "tests"}


def test_importing_the_service_does_nothing() -> None:
    """Importing reads no settings, opens no file and starts no thread: create_app does that."""
    code = """
import os, threading
os.environ["DIGITS_PORT"] = "nonsense"
before = set(os.listdir("."))
import service.app, service.start, service.__main__
assert threading.active_count() == 1, threading.enumerate()
assert set(os.listdir(".")) == before
"""
    loaded(code)
