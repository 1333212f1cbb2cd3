"""The figure in the progress bar counts digits, and Keras's own does not."""

import keras
import numpy as np
import pytest

from training.config import TrainConfig
from training.digit_accuracy import digit_accuracy
from training.heads import ONE_HOT, TWICE
from training.metrics import keras_accuracy
from training.train import compiled_model

LABELS = np.random.default_rng(0).integers(0, 10, 300).astype(np.uint8)
PIXELS = np.random.default_rng(1).random((300, 28, 28, 1), np.float32)


def test_counts_digits_for_both_heads() -> None:
    said = LABELS.copy()
    said[:30] = (said[:30] + 1) % 10
    for head in (ONE_HOT, TWICE):
        right = np.asarray(digit_accuracy(head.encode(LABELS), head.encode(said)))
        assert right.shape == (300,)
        np.testing.assert_array_equal(right, said == LABELS)


def test_keras_accuracy_is_what_keras_prints_and_says_nothing_about_digits() -> None:
    """docs/lecture: about 0.90 before anything has been learned; a model that reads every digit gets 0.91 at most."""
    model = compiled_model(TrainConfig())
    model.compile(loss="categorical_crossentropy", metrics=["accuracy", digit_accuracy])
    printed = model.evaluate(PIXELS, TWICE.encode(LABELS), verbose=0, return_dict=True)
    assert printed["accuracy"] == pytest.approx(0.90)
    assert keras_accuracy(model.predict(PIXELS, verbose=0), LABELS) == pytest.approx(0.90)
    assert printed["digit_accuracy"] < 0.3


def test_keras_accuracy_agrees_with_keras_on_sharp_outputs() -> None:
    logits = np.random.default_rng(2).normal(0, 6, (300, 100)).astype(np.float32)
    logits[np.arange(300), 10 * LABELS.astype(int) + 1] += 30.0  # most often one cell, the right one, is above one half
    outputs = keras.ops.softmax(logits).numpy().reshape(300, 10, 10, 1)
    model = keras.Sequential([keras.Input((10, 10, 1)), keras.layers.Identity()])
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    printed = model.evaluate(outputs, TWICE.encode(LABELS), verbose=0, return_dict=True)["accuracy"]
    assert 0.9 < printed < 0.91
    assert keras_accuracy(outputs, LABELS) == pytest.approx(printed, abs=1e-6)
