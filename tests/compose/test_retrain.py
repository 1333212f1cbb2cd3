"""Retraining beside a service in use: from a small CSV file to another version, and not one request fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from tests.compose.engine import Project, until
from tests.compose.stream import stream
from tests.support.models import as_mnist


def kaggle(folder: Path) -> None:
    """scikit-learn's 1,797 real digits as Kaggle's train.csv."""
    data = load_digits()
    pixels = np.stack([as_mnist(picture) for picture in data.images]).reshape(-1, 784)
    folder.mkdir()
    header = ",".join(["label", *(f"pixel{index}" for index in range(784))])
    table = np.column_stack([data.target, pixels])
    np.savetxt(folder / "train.csv", table, "%d", ",", header=header, comments="")


def test_the_running_service_changes_over(project: Project, training_image: str) -> None:
    kaggle(project.folder / "data/small")
    models = project.folder / "models/digits"
    before = int((models / "current").read_text())
    project.up()
    with stream(project.port()) as asking:
        until(lambda: asking.versions[before] > 50)
        said = project.compose(
            *("run", "--rm", "training", "retrain", "--data", "data/small", "--epochs", "2"),
            *("--architecture", "ten-way", "--force", "a trial on few digits"),
        )
        assert "PROMOTED" in said
        after = int((models / "current").read_text())
        assert after > before
        until(lambda: asking.versions[after] > 50)
    asking.check()
    assert set(asking.versions) == {before, after}
    assert (models / str(after) / "card.json").stat().st_uid == int(project.settings["UID"])
    project.compose("run", "--rm", "training", "rollback")
    assert int((models / "current").read_text()) == before
