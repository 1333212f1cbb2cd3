"""The doubly encoded labels of the lecture's head, and how its 100 cells are read."""

from __future__ import annotations

import keras
import numpy as np

from tests.lecture.gradients import EXACT
from training.heads import decode_twice, encode_twice

LABELS = np.arange(10, dtype=np.uint8)
RANDOM = np.random.default_rng(8)


def test_to_categorical_twice_gives_the_printed_shape() -> None:
    labels = RANDOM.integers(0, 10, 420)
    twice = keras.utils.to_categorical(keras.utils.to_categorical(labels, num_classes=10), num_classes=10)
    assert twice.shape == (420, 10, 10)
    np.testing.assert_array_equal(encode_twice(labels.astype(np.uint8)), twice)


def test_row_j_says_whether_it_is_a_j() -> None:
    twice = encode_twice(LABELS)
    for label in LABELS:
        for j in range(10):
            assert twice[label, j].argmax() == (j == label)
            assert twice[label, j].sum() == 1


def test_the_decoding_is_the_printed_formula() -> None:
    """share_j = out[j, 1] / sum_k out[j, k]; digit = argmax_j share_j; probability_j = share_j / sum_i share_i."""
    cells = RANDOM.dirichlet(np.ones(100), 50).reshape(50, 10, 10, 1)
    for out, probabilities in zip(cells[..., 0], decode_twice(cells), strict=True):
        share = [out[j, 1] / sum(out[j, k] for k in range(10)) for j in range(10)]
        wanted = [share[j] / sum(share) for j in range(10)]
        np.testing.assert_allclose(probabilities, wanted, **EXACT)
        assert probabilities.argmax() == np.argmax(share)


def test_labels_are_read_as_themselves() -> None:
    """A perfect output says "yes" in one row and "no" in nine."""
    perfect = encode_twice(LABELS)[..., np.newaxis] / 10
    np.testing.assert_array_equal(decode_twice(perfect).argmax(axis=1), LABELS)
