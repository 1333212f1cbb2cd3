"""The derivatives of a formula by three ways that know nothing of each other: our engine, finite differences, and
TensorFlow. Each is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.autograd import Value, backward

Array = NDArray[np.float64]
STEP = 1e-6
EXACT = {"rtol": 0, "atol": 1e-6}


def by_engine(formula: Callable[..., Value], *inputs: ArrayLike) -> list[Array]:
    values = [Value(one) for one in inputs]
    backward(formula(*values))
    return [one.bar for one in values]


def by_differences(formula: Callable[..., Value], *inputs: ArrayLike) -> list[Array]:
    """(f(x + h) - f(x - h)) / 2h for each number of each input."""
    arrays = [np.array(one, np.float64) for one in inputs]
    found = []
    for array in arrays:
        slopes = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            at = array[place]
            ends = []
            for array[place] in (at - STEP, at + STEP):
                ends.append(float(formula(*map(Value, arrays)).value))
            array[place] = at
            slopes[place] = (ends[1] - ends[0]) / (2 * STEP)
        found.append(slopes)
    return found


def by_tensorflow(formula: Callable[..., Any], *inputs: ArrayLike) -> list[Array]:
    """`formula` is written with TensorFlow's functions."""
    import tensorflow as tf

    variables = [tf.Variable(np.array(one, np.float64)) for one in inputs]
    with tf.GradientTape() as tape:
        result = formula(*variables)
    return [one.numpy() for one in tape.gradient(result, variables)]


def agree(*ways: list[Array]) -> None:
    """All ways give the same derivatives, to 1e-6."""
    first, *others = ways
    for way in others:
        for one, other in zip(first, way, strict=True):
            np.testing.assert_allclose(one, other, **EXACT)
