"""Part 3 of the lecture: each printed formula by hand, by our engine, by finite differences and by TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lecture.gradients import EXACT, Array, agree, by_differences, by_engine, by_tensorflow
from training.autograd import (
    Value,
    absolute,
    backward,
    exp,
    log,
    relu,
    sigmoid,
    softmax,
    tanh,
    topological_order,
    total,
)

RATE = 0.3  # lambda of L2
RANDOM = np.random.default_rng(8)
W, X, B, T = 1.7, -0.6, 0.4, 0.9
Z = W * X + B
Y = 1 / (1 + np.exp(-Z))
SLOPE = Y * (1 - Y)  # of the sigmoid at Z


def test_univariate_logistic_least_squares() -> None:
    """z = wx + b, y = σ(z), L = ½(y − t)²: ∂L/∂w = (y − t) σ′(z) x, ∂L/∂b = (y − t) σ′(z)."""
    import tensorflow as tf

    def loss(w: Value, b: Value) -> Value:
        return 0.5 * (sigmoid(w * X + b) - T) ** 2

    by_hand = [np.array((Y - T) * SLOPE * X), np.array((Y - T) * SLOPE)]
    of_tensorflow = by_tensorflow(lambda w, b: 0.5 * (tf.sigmoid(w * X + b) - T) ** 2, W, B)
    agree(by_hand, by_engine(loss, W, B), by_differences(loss, W, B), of_tensorflow)


def test_univariate_logistic_least_squares_with_l2() -> None:
    """R = ½w², L_reg = L + λR: w̄ = z̄ x + R̄ w with R̄ = λ; b̄ = z̄; z̄ = ȳ σ′(z); ȳ = y − t."""
    import tensorflow as tf

    def loss(w: Value, b: Value) -> Value:
        return 0.5 * (sigmoid(w * X + b) - T) ** 2 + RATE * (0.5 * w**2)

    y_bar, r_bar = Y - T, RATE
    z_bar = y_bar * SLOPE
    by_hand = [np.array(z_bar * X + r_bar * W), np.array(z_bar)]
    of_tensorflow = by_tensorflow(lambda w, b: 0.5 * (tf.sigmoid(w * X + b) - T) ** 2 + RATE * 0.5 * w**2, W, B)
    agree(by_hand, by_engine(loss, W, B), by_differences(loss, W, B), of_tensorflow)


def test_every_error_signal_of_the_graph_is_the_printed_one() -> None:
    """Not only those of the parameters."""
    w, b = Value(W), Value(B)
    z = w * X + b
    y = sigmoid(z)
    loss = 0.5 * (y - T) ** 2
    r = 0.5 * w**2
    result = loss + RATE * r
    backward(result)
    for value, bar in ((result, 1), (loss, 1), (r, RATE), (y, Y - T), (z, (Y - T) * SLOPE)):
        np.testing.assert_allclose(value.bar, bar, **EXACT)


def test_the_chain_rule_where_one_value_is_used_twice() -> None:
    """f(x, y) = y + e^{xy}, x = cos t, y = t²: df/dt = (y e^{xy})(−sin t) + (1 + x e^{xy}) 2t."""
    import tensorflow as tf

    t = 0.8
    x, y = np.cos(t), t**2
    by_hand = [np.array(y * np.exp(x * y) * -np.sin(t) + (1 + x * np.exp(x * y)) * 2 * t)]

    def cosine(v: Value) -> Value:
        return Value(np.cos(v.value), "cos", (v,), lambda bar: (bar * -np.sin(v.value),))

    def f(t: Value) -> Value:
        x, y = cosine(t), t**2
        return y + exp(x * y)

    of_tensorflow = by_tensorflow(lambda t: t**2 + tf.exp(tf.cos(t) * t**2), t)
    agree(by_hand, by_engine(f, t), by_differences(f, t), of_tensorflow)


def test_multiclass_logistic_regression() -> None:
    """z = Wx + b, y = softmax(z), L = −Σ t_k log y_k: z̄ = y − t, W̄ = z̄ xᵀ, b̄ = z̄."""
    import tensorflow as tf

    weights, x, b = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3), RANDOM.normal(size=4)
    t = np.eye(4)[2]

    def loss(weights: Value, x: Value, b: Value) -> Value:
        return -total(t * log(softmax(weights @ x + b)))

    z = weights @ x + b
    z_bar = np.exp(z) / np.exp(z).sum() - t
    by_hand = [np.outer(z_bar, x), weights.T @ z_bar, z_bar]
    of_tensorflow = by_tensorflow(
        lambda weights, x, b: -tf.reduce_sum(t * tf.math.log(tf.nn.softmax(tf.linalg.matvec(weights, x) + b))),
        weights,
        x,
        b,
    )
    given = (weights, x, b)
    agree(by_hand, by_engine(loss, *given), by_differences(loss, *given), of_tensorflow)


def two_layers() -> tuple[Array, ...]:
    """W1, b1, W2, b2 and x of a two-layer perceptron with 3 inputs, 4 hidden units, 2 outputs."""
    return tuple(RANDOM.normal(size=shape) for shape in ((4, 3), (4,), (2, 4), (2,), (3,)))


def test_two_layer_perceptron_vectorised() -> None:
    """ȳ = y − t; W̄2 = ȳ hᵀ; b̄2 = ȳ; h̄ = W2ᵀ ȳ; z̄ = h̄ ∘ σ′(z); W̄1 = z̄ xᵀ; b̄1 = z̄."""
    import tensorflow as tf

    w1, b1, w2, b2, x = two_layers()
    t = np.array([0.2, -1.0])

    def loss(w1: Value, b1: Value, w2: Value, b2: Value) -> Value:
        return 0.5 * total((w2 @ sigmoid(w1 @ x + b1) + b2 - t) ** 2)

    h = 1 / (1 + np.exp(-(w1 @ x + b1)))
    y_bar = w2 @ h + b2 - t
    z_bar = (w2.T @ y_bar) * h * (1 - h)
    by_hand = [np.outer(z_bar, x), z_bar, np.outer(y_bar, h), y_bar]
    of_tensorflow = by_tensorflow(
        lambda w1, b1, w2, b2: (
            0.5 * tf.reduce_sum((tf.linalg.matvec(w2, tf.sigmoid(tf.linalg.matvec(w1, x) + b1)) + b2 - t) ** 2)
        ),
        w1,
        b1,
        w2,
        b2,
    )
    given = (w1, b1, w2, b2)
    agree(by_hand, by_engine(loss, *given), by_differences(loss, *given), of_tensorflow)


def test_two_layer_perceptron_scalar() -> None:
    """The same, written for each single weight: the sums over k and i that the vectorised form hides."""
    w1, b1, w2, b2, x = two_layers()
    t = np.array([0.2, -1.0])

    def loss(*single: Value) -> Value:
        of_w1 = [single[3 * i : 3 * i + 3] for i in range(4)]
        of_b1, rest = single[12:16], single[16:]
        of_w2 = [rest[4 * k : 4 * k + 4] for k in range(2)]
        of_b2 = rest[8:]
        h = []
        for i in range(4):
            z = of_b1[i]
            for j in range(3):
                z = z + of_w1[i][j] * x[j]
            h.append(sigmoid(z))
        result = Value(0)
        for k in range(2):
            y = of_b2[k]
            for i in range(4):
                y = y + of_w2[k][i] * h[i]
            result = result + 0.5 * (y - t[k]) ** 2
        return result

    single = np.concatenate([one.ravel() for one in (w1, b1, w2, b2)])
    scalar = np.array(by_engine(loss, *single))

    def vectorised(w1: Value, b1: Value, w2: Value, b2: Value) -> Value:
        return 0.5 * total((w2 @ sigmoid(w1 @ x + b1) + b2 - t) ** 2)

    together = np.concatenate([one.ravel() for one in by_engine(vectorised, w1, b1, w2, b2)])
    np.testing.assert_allclose(scalar, together, **EXACT)


@pytest.mark.parametrize("name", ["negative log-likelihood", "mean squared error", "mean absolute error"])
def test_losses(name: str) -> None:
    import tensorflow as tf

    y, t = np.array([0.2, 0.7, 0.1]), np.array([0.0, 1.0, 0.0])
    losses = {
        "negative log-likelihood": (
            lambda y: -total(t * log(y)),
            lambda y: -tf.reduce_sum(t * tf.math.log(y)),
            -t / y,
        ),
        "mean squared error": (
            lambda y: total((y - t) ** 2) / 3,
            lambda y: tf.reduce_mean((y - t) ** 2),
            2 * (y - t) / 3,
        ),
        "mean absolute error": (
            lambda y: total(absolute(y - t)) / 3,
            lambda y: tf.reduce_mean(tf.abs(y - t)),
            np.sign(y - t) / 3,
        ),
    }
    ours, of_tensorflow, by_hand = losses[name]
    agree([by_hand], by_engine(ours, y), by_differences(ours, y), by_tensorflow(of_tensorflow, y))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "exp"])
def test_units(name: str) -> None:
    import tensorflow as tf

    z = np.array([-3.0, -0.5, 0.25, 2.0])
    ours = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu, "exp": exp}[name]
    of_tensorflow = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu, "exp": tf.exp}[name]

    def ours_summed(z: Value) -> Value:
        return total(ours(z))

    agree(
        by_engine(ours_summed, z),
        by_differences(ours_summed, z),
        by_tensorflow(lambda z: tf.reduce_sum(of_tensorflow(z)), z),
    )


def test_tanh_is_a_sigmoid() -> None:
    """tanh(z) = 2σ(2z) − 1, and so are their derivatives."""
    z = np.linspace(-20, 20, 41)
    one, other = Value(z), Value(z)
    first, second = total(tanh(one)), total(2 * sigmoid(2 * other) - 1)
    np.testing.assert_allclose(tanh(one).value, (2 * sigmoid(2 * other) - 1).value, **EXACT)
    backward(first)
    backward(second)
    np.testing.assert_allclose(one.bar, other.bar, **EXACT)


def test_nothing_overflows() -> None:
    z = Value(np.array([-1000.0, 0.0, 1000.0]))
    with np.errstate(all="raise", under="ignore"):
        result = total(sigmoid(z)) + total(softmax(z))
        backward(result)
    np.testing.assert_allclose(result.value, 0 + 0.5 + 1 + 1, **EXACT)
    assert np.isfinite(z.bar).all()


def test_rows_and_columns_that_were_copied_get_the_sum_of_what_comes_back() -> None:
    shapes = [(3, 4), (4,), (3, 1), (1, 4), ()]
    for shape in shapes:
        given = (RANDOM.normal(size=(3, 4)), RANDOM.normal(size=shape) + 3)

        def formula(a: Value, b: Value) -> Value:
            return total((a * b + a / b - b) ** 2)

        agree(by_engine(formula, *given), by_differences(formula, *given))


@pytest.mark.parametrize(("left", "right"), [((3, 4), (4, 2)), ((3, 4), (4,)), ((4,), (4, 2)), ((4,), (4,))])
def test_products_of_matrices_and_vectors(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    given = (RANDOM.normal(size=left), RANDOM.normal(size=right))

    def formula(a: Value, b: Value) -> Value:
        return total((a @ b) ** 2)

    agree(by_engine(formula, *given), by_differences(formula, *given))


def test_parents_come_before_children_and_each_once() -> None:
    a = Value(2.0)
    b = a * a
    c = b + a
    order = topological_order(c)
    assert [order.index(one) for one in (a, b, c)] == [0, 1, 2]
    assert len(order) == 3


def test_backward_twice_gives_the_same() -> None:
    a = Value(3.0)
    result = a**2
    for _ in range(2):
        backward(result)
        assert a.bar == 6
