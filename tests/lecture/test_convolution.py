"""Part 4 of the lecture: the size of an output, cross-correlation as a 3-D sum, pooling and its gradient."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.lecture.gradients import EXACT, Array
from training.shapes import keeping_padding, output_size, rest, same

RANDOM = np.random.default_rng(8)
GRID = [
    (w, k, s, p)
    for w, k, s, p in itertools.product((5, 7, 8, 28), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2))
    if k <= w + 2 * p
]


def layer_of(filters: int, kernel: int, stride: int, padding: str = "valid") -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, kernel, strides=stride, padding=padding, dtype="float64")


# -- the size of the output -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("w", "k", "s", "p"), GRID)
def test_output_size_against_real_layers(w: int, k: int, s: int, p: int) -> None:
    """w_out = floor((w_in + 2p − k)/s) + 1."""
    image = tf.zeros((1, w, w, 1), tf.float64)
    padded = tf.pad(image, [[0, 0], [p, p], [p, p], [0, 0]])
    wanted = output_size(w, k, s, p)
    assert layer_of(1, k, s)(padded).shape == (1, wanted, wanted, 1)
    pooled = tf.nn.max_pool2d(padded, k, s, "VALID")
    assert pooled.shape == (1, wanted, wanted, 1)


@pytest.mark.parametrize(("w", "k", "s", "p"), [one for one in GRID if rest(*one)])
def test_where_the_division_leaves_a_rest_the_last_columns_are_seen_by_no_filter(
    w: int, k: int, s: int, p: int
) -> None:
    """The lecture floors; cs231n calls it invalid."""
    image = RANDOM.normal(size=(1, w, w, 1))
    padded = np.pad(image, ((0, 0), (p, p), (p, p), (0, 0)))
    layer = layer_of(1, k, s)
    before = layer(padded).numpy()
    unseen = rest(w, k, s, p)
    padded[:, -unseen:] += 100
    padded[:, :, -unseen:] += 100
    np.testing.assert_array_equal(layer(padded).numpy(), before)
    padded[:, -unseen - 1, -unseen - 1] += 100
    assert not np.array_equal(layer(padded).numpy(), before)


@pytest.mark.parametrize(("w", "k", "s"), list(itertools.product((5, 8, 28), (1, 2, 3, 5), (1, 2, 3))))
def test_keras_same_pads_unequally(w: int, k: int, s: int) -> None:
    out, before, behind = same(w, k, s)
    image = RANDOM.normal(size=(1, w, w, 1))
    layer = layer_of(1, k, s, "same")
    found = layer(image).numpy()
    assert found.shape == (1, out, out, 1)
    plain = layer_of(1, k, s)
    plain.build(image.shape)
    plain.set_weights(layer.get_weights())
    padded = np.pad(image, ((0, 0), (before, behind), (before, behind), (0, 0)))
    np.testing.assert_allclose(plain(padded).numpy(), found, **EXACT)
    assert behind - before in (0, 1)


def test_the_sizes_that_the_lecture_prints() -> None:
    assert output_size(32, 5) == 28  # 32x32x3 with a filter of 5x5x3
    assert output_size(28, 3, 1, 1) == 28  # k = 3, s = 1, p = 1 keeps the size
    assert output_size(28, 2, 2) == 14
    assert [keeping_padding(k) for k in (1, 3, 5, 7)] == [0, 1, 2, 3]
    assert all(output_size(28, k, 1, keeping_padding(k)) == 28 for k in (1, 3, 5, 7))


@pytest.mark.parametrize("wrong", [(2, 3, 1, 0), (0, 1, 1, 0), (5, 0, 1, 0), (5, 3, 0, 0), (5, 3, 1, -1)])
def test_a_filter_that_does_not_fit_is_an_error(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        output_size(*wrong)


# -- cross-correlation ------------------------------------------------------------------------------------------------


def by_hand(image: Array, filters: Array, biases: Array) -> Array:
    """At each place a sum over row, column and channel, plus a bias: h x w x c with k x k x c x n, stride 1."""
    h, w, channels = image.shape
    k, _, _, n = filters.shape
    out = np.zeros((h - k + 1, w - k + 1, n))
    for row, column, number in np.ndindex(out.shape):
        for i, j, channel in np.ndindex(k, k, channels):
            out[row, column, number] += image[row + i, column + j, channel] * filters[i, j, channel, number]
        out[row, column, number] += biases[number]
    return out


@pytest.mark.parametrize("filters", [1, 6])
def test_cross_correlation_is_a_sum_over_three_axes(filters: int) -> None:
    """32x32x3 with 5x5x3 gives 28x28x1; six filters give 28x28x6."""
    image = RANDOM.normal(size=(32, 32, 3))
    layer = layer_of(filters, 5, 1)
    found = layer(image[np.newaxis]).numpy()[0]
    assert found.shape == (28, 28, filters)
    assert layer.count_params() == filters * (5 * 5 * 3 + 1)
    layer.bias.assign(RANDOM.normal(size=filters))
    found = layer(image[np.newaxis]).numpy()[0]
    np.testing.assert_allclose(found, by_hand(image, layer.kernel.numpy(), layer.bias.numpy()), **EXACT)


def test_it_is_no_convolution() -> None:
    """A convolution turns the filter by 180 degrees first."""
    image, filters = RANDOM.normal(size=(6, 6, 2)), RANDOM.normal(size=(3, 3, 2, 1))
    layer = layer_of(1, 3, 1)
    layer.build((1, 6, 6, 2))
    layer.set_weights([filters, np.zeros(1)])
    found = layer(image[np.newaxis]).numpy()[0]
    turned = by_hand(image, filters[::-1, ::-1], np.zeros(1))
    np.testing.assert_allclose(found, by_hand(image, filters, np.zeros(1)), **EXACT)
    assert not np.allclose(found, turned)


# -- pooling ----------------------------------------------------------------------------------------------------------


def gradient_of_pooling(pool: str, image: Array, signal: Array) -> Array:
    """What arrives at the input of a pooling of 2x2 with stride 2, where `signal` comes in at its output."""
    found = np.zeros_like(image)
    for row, column in np.ndindex(signal.shape):
        window = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        if pool == "max":  # the index that held the maximum was stored
            i, j = np.unravel_index(window.argmax(), window.shape)
            found[2 * row + i, 2 * column + j] += signal[row, column]
        else:
            found[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += signal[row, column] / 4
    return found


@pytest.mark.parametrize("pool", ["max", "average"])
def test_the_gradient_of_pooling(pool: str) -> None:
    """Maximum: to the index that held it. Average: a quarter to each."""
    image, signal = RANDOM.normal(size=(6, 8)), RANDOM.normal(size=(3, 4))
    layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pool](2, dtype="float64")
    variable = tf.Variable(image[np.newaxis, :, :, np.newaxis])
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(variable) * signal[np.newaxis, :, :, np.newaxis])
    found = tape.gradient(result, variable).numpy()[0, :, :, 0]
    np.testing.assert_allclose(found, gradient_of_pooling(pool, image, signal), **EXACT)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_each_map_is_pooled_on_its_own(pool: str) -> None:
    image = RANDOM.normal(size=(1, 6, 6, 3))
    layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pool](2, dtype="float64")
    together = layer(image).numpy()
    for channel in range(3):
        np.testing.assert_array_equal(
            layer(image[..., channel : channel + 1]).numpy(), together[..., channel : channel + 1]
        )
