"""The last layer's two dialects: how a label is written for it, and how a digit is read from it.

Knows formulas only (LECTURE's double encoding and the plain one). Every `outputs` is what Keras's model returns.
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
    """What belongs to one form of output. `tensor` functions take and return TensorFlow tensors."""

    encode: Callable[[Labels], Floats]  # labels (n,) -> the targets that `fit` compares with
    decode: Callable[[Floats], Floats]  # numpy outputs -> probabilities (n, 10), summing to 1
    scores: Callable[[Any], Any]  # tensor outputs or targets -> (n, 10); the largest is the digit
    log_scores: Callable[[Any], Any]  # tensor logits of the last Dense -> (n, 10); softmax of it is `decode`
    keeps_output: bool  # is the raw output worth a second place in the exported graph?


# --- ten-way: one softmax over the ten digits ------------------------------------------------------------


def encode_once(labels: Labels) -> Floats:
    """Label 3 becomes 0001000000: (n,) uint8 -> (n, 10) float32."""
    return np.eye(10, dtype=np.float32)[labels]


def decode_once(outputs: Floats) -> Floats:
    """The softmax is the answer already: (n, 10) -> (n, 10) float64, normalised once more against rounding."""
    outputs = np.asarray(outputs, np.float64)
    return outputs / outputs.sum(axis=1, keepdims=True)


def _same(tensor: Any) -> Any:
    return tensor


ONE_HOT = Head(encode_once, decode_once, _same, _same, keeps_output=False)


# --- lecture-cnn: the label encoded twice, the model's output (n, 10, 10, 1) --------------------------------


def encode_twice(labels: Labels) -> Floats:
    """`to_categorical` of `to_categorical`, as the lecture's printed shapes show: (n,) -> (n, 10, 10) float32.

    Row j answers "is it a j?": cell [j, 1] is hot in the label's own row, cell [j, 0] in the nine others.
    Columns 2 to 9 are never hot; the lecture has them because it says num_classes=10 the second time too.
    """
    once = encode_once(labels).astype(np.uint8)
    return np.eye(10, dtype=np.float32)[once]


def decode_twice(outputs: Floats) -> Floats:
    """LECTURE.md section 1, word for word, in float64: (n, 10, 10, 1) or (n, 10, 10) -> (n, 10).

    share_j = out[j, 1] / sum_k out[j, k]        probability_j = share_j / sum_i share_i
    """
    cells = np.asarray(outputs, np.float64).reshape(-1, 10, 10)
    share = cells[:, :, 1] / cells.sum(axis=2)
    return share / share.sum(axis=1, keepdims=True)


def scores_twice(cells: Any) -> Any:
    """The share of "yes" in each row, for outputs (n, 10, 10, 1) and targets (n, 10, 10) alike."""
    from keras import ops

    cells = ops.reshape(cells, (-1, 10, 10))
    return ops.divide_no_nan(cells[:, :, 1], ops.sum(cells, axis=2))


def log_scores_twice(logits: Any) -> Any:
    """log share_j from the 100 numbers before the softmax: (n, 100) -> (n, 10).

    With out = softmax(z) the common denominator cancels: out[j,1] / sum_k out[j,k] = exp(z_j1) / sum_k exp(z_jk).
    Its logarithm z_j1 - logsumexp_k z_jk never divides 0 by 0, which the plain formula does in float32 as soon
    as all ten cells of a row are below 1e-45. And softmax_j(log share_j) = share_j / sum_i share_i.
    """
    import tensorflow as tf

    rows = tf.nn.log_softmax(tf.reshape(logits, (-1, 10, 10)), axis=2)  # z_jk - logsumexp_k z_jk
    return tf.gather(rows, 1, axis=2)


TWICE = Head(encode_twice, decode_twice, scores_twice, log_scores_twice, keeps_output=True)
