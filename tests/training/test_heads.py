"""The two ways to write a label and read an output: the lecture's shapes, and its formulas done cell by cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from training.heads import ONE_HOT, TWICE, Head

LABELS = np.arange(10, dtype=np.uint8).repeat(2)


def softmax(z: np.ndarray) -> np.ndarray:
    """In float64, over the last axis."""
    z = np.exp(z.astype(np.float64) - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def lecture_formula(outputs: np.ndarray) -> np.ndarray:
    """share_j = out[j,1] / sum_k out[j,k]; probability_j = share_j / sum_i share_i, one cell at a time."""
    answer = np.zeros((len(outputs), 10))
    for n, out in enumerate(outputs.reshape(-1, 10, 10)):
        share = [out[j, 1] / sum(out[j, k] for k in range(10)) for j in range(10)]
        answer[n] = [share[j] / sum(share) for j in range(10)]
    return answer


def test_the_label_encoded_twice_is_what_keras_makes_of_it() -> None:
    once = keras.utils.to_categorical(LABELS, num_classes=10)
    twice = keras.utils.to_categorical(once, num_classes=10)
    assert twice.shape == (20, 10, 10)
    np.testing.assert_array_equal(TWICE.encode(LABELS), twice)
    np.testing.assert_array_equal(ONE_HOT.encode(LABELS), once)
    assert TWICE.encode(LABELS).dtype == ONE_HOT.encode(LABELS).dtype == np.float32


def test_decoding_follows_the_lectures_formula() -> None:
    outputs = softmax(np.random.default_rng(0).normal(0, 4, (50, 100))).reshape(50, 10, 10, 1)
    np.testing.assert_allclose(TWICE.decode(outputs), lecture_formula(outputs), rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 8))
def test_log_scores_are_the_formula_in_log_space(seed: int, spread: float) -> None:
    """softmax(log_scores(z)) = the lecture's formula on softmax(z): the identity the exported graph rests on."""
    z = np.random.default_rng(seed).normal(0, spread, (8, 100)).astype(np.float32)
    expected = lecture_formula(softmax(z))
    found = tf.nn.softmax(TWICE.log_scores(tf.constant(z))).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_log_scores_have_no_zero_divided_by_zero() -> None:
    """One row so far below the others that all its ten cells vanish in float32: the plain formula says NaN."""
    z = np.zeros((1, 10, 10), np.float32)
    z[0, 3] = -200.0
    z[0, 3, 1] = -199.0
    outputs = tf.nn.softmax(tf.reshape(z, (1, 100))).numpy()
    with np.errstate(invalid="ignore"):
        assert np.isnan(TWICE.decode(outputs)).any()
    found = tf.nn.softmax(TWICE.log_scores(tf.constant(z.reshape(1, 100)))).numpy()
    share = np.where(np.arange(10) == 3, np.e / (np.e + 9), 0.1)
    np.testing.assert_allclose(found[0], share / share.sum(), rtol=1e-5)


@pytest.mark.parametrize("head", [ONE_HOT, TWICE], ids=["once", "twice"])
def test_a_perfect_output_is_read_as_its_label(head: Head) -> None:
    targets = head.encode(LABELS)
    np.testing.assert_array_equal(head.decode(targets).argmax(axis=1), LABELS)
    np.testing.assert_array_equal(np.asarray(head.scores(keras.ops.array(targets))).argmax(axis=1), LABELS)
    np.testing.assert_allclose(head.decode(targets).sum(axis=1), 1)


def test_scores_take_outputs_with_and_without_the_trailing_one() -> None:
    outputs = softmax(np.random.default_rng(1).normal(0, 3, (5, 100))).astype(np.float32)
    with_one = np.asarray(TWICE.scores(keras.ops.array(outputs.reshape(5, 10, 10, 1))))
    np.testing.assert_array_equal(with_one, np.asarray(TWICE.scores(keras.ops.array(outputs.reshape(5, 10, 10)))))
    np.testing.assert_array_equal(with_one.argmax(axis=1), lecture_formula(outputs).argmax(axis=1))
