"""Digits in memory: labels are guaranteed, checked, and stay with their pixels."""

from pathlib import Path

import numpy as np
import pytest

from training.data.digits import Digits, LabelledDigits, check_labels
from training.errors import DataError

PIXELS = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 28, 28), np.uint8)
LABELS = np.array([7, 8, 9], np.uint8)


def test_labelled_keeps_everything() -> None:
    found = Digits(PIXELS, LABELS, {"mine.csv": "abc"}).labelled()
    assert isinstance(found, LabelledDigits)
    assert (found.labels is LABELS, found.pixels is PIXELS, found.files) == (True, True, {"mine.csv": "abc"})


def test_unlabelled_digits_are_refused_with_the_advice_of_the_caller() -> None:
    with pytest.raises(DataError, match=r"^test.csv: no labels\. Label them first\.$"):
        Digits(PIXELS, None, {"test.csv": "abc"}).labelled("Label them first.")


def test_labels_cannot_be_forgotten() -> None:
    with pytest.raises(TypeError, match="labels"):
        LabelledDigits(PIXELS)  # type: ignore[call-arg]


def test_take_keeps_labels_with_their_pixels() -> None:
    found = LabelledDigits(PIXELS, LABELS, {"mine.csv": "abc"}).take(np.array([2, 0]))
    assert (found.pixels[:, 0, 0].tolist(), found.labels.tolist(), found.files) == ([2, 0], [9, 7], {"mine.csv": "abc"})


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.array([1, 10]), "mine, row 2: the label is 10; expected a digit 0 to 9"),
        (np.array([-1]), "mine, row 1: the label is -1"),
        (np.array([0.5]), "mine: labels holds float64; expected whole numbers"),
        (np.array(["3"]), "mine: labels holds text"),
    ],
)
def test_wrong_labels_are_refused_by_row(labels: np.ndarray, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        check_labels(labels, Path("mine"))


def test_labels_of_any_integer_type_become_bytes() -> None:
    assert check_labels(np.array([0, 9], np.int64), Path("mine")).dtype == np.uint8
