"""The accuracy that training shows: the share of digits read correctly. A metric for Keras's `compile`."""

from typing import Any

import keras

from training.heads import ONE_HOT, TWICE


@keras.saving.register_keras_serializable("digits")
def digit_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1.0 for each digit read correctly, else 0.0: targets and outputs of either head -> (n,) float32.

    Keras's own "accuracy" would count cells for the lecture's head: 0.90 for a model that has learned nothing, 0.907
    for one that reads 99 of 100 digits (metrics.keras_accuracy explains it).
    """
    # Targets of the lecture's head are (n, 10, 10), those of the ten-way head (n, 10).
    head = TWICE if len(y_true.shape) > 2 else ONE_HOT
    right = keras.ops.equal(keras.ops.argmax(head.scores(y_true), 1), keras.ops.argmax(head.scores(y_pred), 1))
    return keras.ops.cast(right, "float32")
