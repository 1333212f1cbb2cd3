"""The lecture's split, to the digit; and the parts of a data set that one run uses."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tests.training.files import write_idx
from training.config import TrainConfig
from training.data import loader
from training.data.corrections import Corrections
from training.data.digits import Digits, LabelledDigits
from training.errors import DataError
from training.split import Split, split


def test_the_split_is_the_lectures() -> None:
    """train_test_split(X, Y, test_size=0.1, random_state=2) on 42,000 rows: 37,800 and 4,200, the same ones."""
    labels = np.random.default_rng(0).integers(0, 10, 42_000).astype(np.uint8)
    pixels = np.zeros((42_000, 28, 28), np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = np.divmod(np.arange(42_000), 256)
    learn, held_out = split(Digits(pixels, labels, {"train.csv": "x"}), 0.1, 2)
    x_train, x_test, y_train, y_test = train_test_split(pixels, labels, test_size=0.1, random_state=2)
    assert (len(learn), len(held_out)) == (37_800, 4_200)
    np.testing.assert_array_equal(learn.pixels, x_train)
    np.testing.assert_array_equal(held_out.pixels, x_test)
    np.testing.assert_array_equal(learn.labels, y_train)
    np.testing.assert_array_equal(held_out.labels, y_test)
    assert learn.files == held_out.files == {"train.csv": "x"}


def test_what_cannot_be_split_is_refused() -> None:
    pixels = np.zeros((9, 28, 28), np.uint8)
    with pytest.raises(DataError, match=r"test.csv: no labels. Give labelled digits"):
        split(Digits(pixels, None, {"test.csv": "x"}), 0.1, 2)
    with pytest.raises(DataError, match="only 9 digits; at least 10"):
        split(Digits(pixels, np.zeros(9, np.uint8)), 0.1, 2)


def some(start: int, count: int) -> LabelledDigits:
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, 0, 0] = np.arange(start, start + count)
    return LabelledDigits(pixels, (np.arange(count) % 10).astype(np.uint8), {"mine": "x"})


def test_test_digits_are_kept_apart_where_the_data_have_any(handwriting: LabelledDigits, tmp_path: Path) -> None:
    folder = write_idx(tmp_path, handwriting.pixels[:100], handwriting.labels[:100], test=20)
    parts = Split.of(loader.load(folder), folder, TrainConfig())
    assert (len(parts.training), len(parts.held_out), parts.source) == (72, 8, folder)
    assert parts.test is not None
    np.testing.assert_array_equal(parts.test.pixels, handwriting.pixels[80:100])


def test_kaggles_test_file_has_no_labels_and_is_left_alone(kaggle: Path) -> None:
    assert Split.of(loader.load(kaggle), kaggle, TrainConfig()).test is None


def test_corrected_digits_are_learned_behind_the_others() -> None:
    added = Corrections(some(100, 2), count=1, weight=2, left_out=0)
    parts = Split(Path("mine"), some(0, 20), some(50, 5), None, added)
    learned = parts.to_learn()
    assert learned.pixels[:, 0, 0].tolist() == [*range(20), 100, 101]
    assert learned.labels[20:].tolist() == [0, 1]
    assert parts.sentence() == "20 digits to learn from, 5 held out\nand 1 corrected digits, 2 times each"
    assert len(parts.training) == 20


def test_without_feedback_nothing_is_added() -> None:
    parts = Split(Path("mine"), some(0, 20), some(50, 5), None)
    assert parts.with_corrections(TrainConfig()) is parts
    assert parts.to_learn() is parts.training
    assert parts.sentence() == "20 digits to learn from, 5 held out"
