"""Part 2 of the lecture: one neuron learns AND and OR, and cannot learn XOR; two hidden units can."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lecture.gradients import EXACT
from training.autograd import Value, backward, relu, tanh
from training.neurons import POINTS, TABLES, Neuron, TwoLayers, learn, loss, neuron, right, two_layers

SEEDS = 100


@pytest.mark.parametrize("table", ["and", "or"])
@pytest.mark.parametrize("seed", range(5))
def test_a_neuron_learns_and_and_or(table: str, seed: int) -> None:
    one = neuron(seed)
    learn(one, table, rate=5, steps=3000)
    assert right(one, table) == 4


@pytest.mark.parametrize("seed", range(3))
def test_the_best_that_a_linear_neuron_can_do_with_xor_is_nothing(seed: int) -> None:
    """Weights 0 and bias ½ under squared error, by gradient descent and by the normal equations alike."""
    one = neuron(seed, unit=None)
    losses = learn(one, "xor", rate=0.5, steps=2000)
    np.testing.assert_allclose(one.w.value, 0, **EXACT)
    np.testing.assert_allclose(one.b.value, 0.5, **EXACT)
    np.testing.assert_allclose(losses[-1], 0.25, **EXACT)
    with_ones = np.c_[POINTS, np.ones(4)]
    np.testing.assert_allclose(np.linalg.lstsq(with_ones, TABLES["xor"], rcond=None)[0], [0, 0, 0.5], **EXACT)


def test_no_neuron_separates_xor() -> None:
    """Not one of many lines has all four points on their sides."""
    random = np.random.default_rng(1)
    for w, b in zip(random.normal(size=(2000, 2)), random.normal(size=2000), strict=True):
        assert right(Neuron(Value(w), Value(b), None), "xor") < 4


def test_goodfellows_solution() -> None:
    """W = [[1,1],[1,1]], c = [0,−1], w = [1,−2], b = 0, with ReLU (Goodfellow, Bengio, Courville, section 6.1)."""
    network = TwoLayers(Value(np.ones((2, 2))), Value([0.0, -1.0]), Value([1.0, -2.0]), Value(0.0), relu)
    np.testing.assert_array_equal(network(POINTS).value, TABLES["xor"])
    result = loss(network, TABLES["xor"])
    backward(result)
    assert all(not parameter.bar.any() for parameter in network.parameters)  # there is nothing left to learn


@pytest.mark.slow
def test_xor_is_learned_from_95_of_100_starts() -> None:
    solved = 0
    for seed in range(SEEDS):
        network = two_layers(seed)
        learn(network, "xor")
        solved += right(network, "xor") == 4
    assert solved >= 95


def test_two_equal_hidden_units_stay_one() -> None:
    """A symmetric start: both get the same error signals for ever, and one neuron cannot do it."""
    network = two_layers(1)
    network.w1.value[:] = network.w1.value[:, :1]
    network.w2.value[:] = network.w2.value[0]
    learn(network, "xor", steps=500)
    np.testing.assert_allclose(network.w1.value[:, 0], network.w1.value[:, 1], **EXACT)
    assert right(network, "xor") < 4


def test_a_dead_relu_learns_nothing() -> None:
    """A unit that is 0 at all four points gets no error signal, and stays as it is."""
    network = TwoLayers(Value([[-1.0, 1.0], [-1.0, 1.0]]), Value([-0.5, 0.0]), Value([1.0, 1.0]), Value(0.0), relu)
    before = network.w1.value[:, 0].copy()
    learn(network, "xor", steps=200)
    np.testing.assert_array_equal(network.w1.value[:, 0], before)
    assert right(network, "xor") < 4


def test_the_loss_is_the_printed_one() -> None:
    network = two_layers(3, tanh)
    f = network(POINTS).value
    by_hand = sum((t - y) ** 2 for t, y in zip(TABLES["xor"], f, strict=True)) / 4
    np.testing.assert_allclose(loss(network, TABLES["xor"]).value, by_hand, **EXACT)
