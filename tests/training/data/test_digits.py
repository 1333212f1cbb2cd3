"""The lecture's split, to the digit."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from training.data.digits import Digits, split
from training.errors import DataError


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
