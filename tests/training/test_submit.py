"""Kaggle's submission: 28,000 rows, counted from 1, read by the published model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from service.engine.model import Model
from service.repository.repository import Repository
from tests.training.files import csv_table
from training.data.digits import Digits
from training.errors import DataError, TrainingError
from training.submit import submit


def test_28000_rows(published: Repository, handwriting: Digits, tmp_path: Path) -> None:
    pixels = np.tile(handwriting.pixels, (16, 1, 1))[:28_000]
    csv_table(pixels, None).to_csv(tmp_path / "test.csv", index=False)
    model = Model.load(published.model_path("digits", 1))
    assert submit(model, tmp_path, tmp_path / "submission.csv") == 28_000
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[0] == "ImageId,Label"
    assert len(lines) == 28_001
    written = pd.read_csv(tmp_path / "submission.csv")
    np.testing.assert_array_equal(written["ImageId"], np.arange(1, 28_001))
    once = model.predict(handwriting.pixels).argmax(axis=1)
    np.testing.assert_array_equal(written["Label"], np.tile(once, 16)[:28_000])
    assert (once == handwriting.labels).mean() > 0.85
    assert sorted(file.name for file in tmp_path.iterdir()) == ["submission.csv", "test.csv"]


def test_a_wrong_test_file_leaves_the_old_submission(
    published: Repository, handwriting: Digits, tmp_path: Path
) -> None:
    table = csv_table(handwriting.pixels[:5], None).astype(int)
    table.iloc[2, 10] = 300
    table.to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "submission.csv").write_text("old")
    with pytest.raises(DataError, match=r"test.csv, row 3: pixel10 is 300"):
        submit(Model.load(published.model_path("digits", 1)), tmp_path / "test.csv", tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_text() == "old"


def test_folders_on_the_way_are_made(tmp_path: Path, published: Repository, kaggle: Path) -> None:
    out = tmp_path / "not" / "there" / "yet.csv"
    assert submit(Model.load(published.model_path("digits", 1)), kaggle, out) == 297
    assert [entry.name for entry in out.parent.iterdir()] == ["yet.csv"]


def test_a_folder_is_no_place_to_write(tmp_path: Path, published: Repository, kaggle: Path) -> None:
    with pytest.raises(TrainingError, match=r"is a folder; give the file to write, such as .*/submission.csv"):
        submit(Model.load(published.model_path("digits", 1)), kaggle, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not list(tmp_path.parent.glob(".*.tmp"))


def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, published: Repository, kaggle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        submit(Model.load(published.model_path("digits", 1)), kaggle, tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []
