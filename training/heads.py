"""The two output layers (heads): how a label is written for each of them, and how a digit is read from its output.

Formulas only: docs/lecture derives them. Every `outputs` is what the Keras model returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Floats = NDArray[Any]


@dataclass(frozen=True)
class Head:
    """The functions that belong to one form of output. `scores` and `log_scores` work on TensorFlow tensors."""

    encode: Callable[[Labels], Floats]  # labels (n,) -> the targets that `fit` compares the outputs with
    decode: Callable[[Floats], Floats]  # numpy outputs -> probabilities (n, 10), rows summing to 1
    scores: Callable[[Any], Any]  # tensor outputs or targets -> (n, 10); the largest is the digit
    log_scores: Callable[[Any], Any]  # tensor logits of the last Dense -> (n, 10); their softmax equals `decode`
    keeps_output: bool  # whether the exported graph also returns the raw output


# --- ten-way: one softmax over the ten digits -----------------------------------------------------------------------


def encode_once(labels: Labels) -> Floats:
    """Label 3 becomes 0 0 0 1 0 0 0 0 0 0 (one-hot): (n,) uint8 -> (n, 10) float32."""
    # A label is a name, not a quantity: with the number 3 itself as target, answering 4 for a 3 would count as nearly
    # right and 9 as very wrong. One-hot, all wrong digits are equally wrong. Row i of the identity matrix is digit i.
    return np.eye(10, dtype=np.float32)[labels]


def decode_once(outputs: Floats) -> Floats:
    """The output is the answer: (n, 10) -> (n, 10) float64, divided by the row's sum to remove float32 rounding."""
    # softmax(z)_i = exp(z_i) / sum_j exp(z_j): all positive, summing to 1, and the largest logit stays the largest.
    outputs = np.asarray(outputs, np.float64)
    probabilities: Floats = outputs / outputs.sum(axis=1, keepdims=True)
    return probabilities


def _same(tensor: Any) -> Any:
    return tensor


ONE_HOT = Head(encode_once, decode_once, _same, _same, keeps_output=False)


# --- lecture-cnn: the label encoded twice, the model's output (n, 10, 10, 1) ------------------------------------------


def encode_twice(labels: Labels) -> Floats:
    """`to_categorical` of `to_categorical`, as the shapes printed in the lecture show: (n,) -> (n, 10, 10) float32.

    Row j answers "is it a j?": cell [j, 1] is 1 in the row of the label, cell [j, 0] is 1 in the nine other rows.
    """
    # Label 3, encoded once, is ten numbers 0 or 1. The second encoding takes each of these for a class of its own: the
    # 1 in place 3 becomes 0 1 0 0 0 0 0 0 0 0, each 0 becomes 1 0 0 0 0 0 0 0 0 0. Columns 2 to 9 stay 0 forever; they
    # exist because the lecture passes num_classes=10 the second time too. 80 of the 100 outputs only learn to be 0.
    once = encode_once(labels).astype(np.uint8)
    return np.eye(10, dtype=np.float32)[once]


def decode_twice(outputs: Floats) -> Floats:
    """The lecture's output as probabilities, in float64: (n, 10, 10, 1) or (n, 10, 10) -> (n, 10).

    share_j = out[j, 1] / sum_k out[j, k]        probability_j = share_j / sum_i share_i        (docs/lecture)
    """
    # One softmax runs over all 100 cells, so its cells sum to 1 per digit and not per row. Dividing by the row's sum
    # gives the answer "yes" of question j between 0 and 1. The ten answers are independent of each other and need not
    # sum to 1: dividing by their sum makes probabilities of them and keeps their order.
    cells = np.asarray(outputs, np.float64).reshape(-1, 10, 10)
    share = cells[:, :, 1] / cells.sum(axis=2)
    probabilities: Floats = share / share.sum(axis=1, keepdims=True)
    return probabilities


def scores_twice(cells: Any) -> Any:
    """The share of "yes" in each row, for outputs (n, 10, 10, 1) and targets (n, 10, 10) alike -> (n, 10)."""
    from keras import ops

    cells = ops.reshape(cells, (-1, 10, 10))
    return ops.divide_no_nan(cells[:, :, 1], ops.sum(cells, axis=2))


def log_scores_twice(logits: Any) -> Any:
    """log share_j from the 100 numbers before the softmax: (n, 100) -> (n, 10).

    With out = softmax(z) the common denominator cancels: out[j,1] / sum_k out[j,k] = exp(z_j1) / sum_k exp(z_jk).
    Its logarithm is z_j1 - logsumexp_k z_jk, and softmax_j(log share_j) = share_j / sum_i share_i.
    """
    import tensorflow as tf

    # Why not the plain formula: float32 has no numbers below 1e-45, and where the network is very sure of one row, the
    # ten cells of another row can all be smaller. The formula would divide 0 by 0 there; logarithms never do.
    rows = tf.nn.log_softmax(tf.reshape(logits, (-1, 10, 10)), axis=2)  # z_jk - logsumexp_k z_jk
    return tf.gather(rows, 1, axis=2)


TWICE = Head(encode_twice, decode_twice, scores_twice, log_scores_twice, keeps_output=True)
