"""kill -9 of `python -m training retrain` at random moments, while the service follows what it publishes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document
from tests.faults.table import Row
from tests.support.models import digit, publish
from tests.support.server import ROOT, Server

DIGITS = 400


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Kaggle's train.csv with digits that are easily learned."""
    random_ = np.random.default_rng(0)
    rows = ["label," + ",".join(f"pixel{number}" for number in range(784))]
    for number in range(DIGITS):
        noisy = digit(number % 10).astype(int) + random_.integers(0, 20, (28, 28))
        rows.append(f"{number % 10}," + ",".join(map(str, noisy.clip(0, 255).ravel())))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("tensorflow"), reason="SKIPPED: TensorFlow is not installed")
def test_trainer(tmp_path: Path, data: Path, dice: random.Random, long: bool, row: Callable[[str], Row]) -> None:
    """Whatever it was at: the service answers on, each version is whole, and the next retraining publishes."""
    line = row("kill -9 of a retraining")
    root = tmp_path / "models"
    publish(root)
    repository = RepositoryWriter(root)
    words = ["retrain", "--data", data, "--models", root, "--runs", tmp_path / "runs", "--epochs", "1"]
    command = [sys.executable, "-m", "training", *map(str, words), "--force", "a drill"]
    with Server(root, watch_interval_s=0.1) as server, Asking(server, dict.fromkeys(range(1, 100), 0), 2) as asking:
        began = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        whole_s = time.monotonic() - began
        assert repository.current("digits") == 2
        for _ in range(10 if long else 3):
            trainer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(dice.uniform(0.3, 1.0) * whole_s)
            trainer.kill()
            trainer.wait()
            for version in repository.versions("digits"):
                repository.model_bytes("digits", version)
            assert repository.current("digits") in repository.versions("digits")
            line.times += 1
        before = repository.current("digits")
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        assert repository.current("digits") > before
        asking.more()
        assert document(server, "/health/ready")["status"] == "ready"
        line.answers = asking.answers.total()
    line.lost = len(asking.failed)
    assert asking.failed == []
