"""The lecture's smallest networks, on the four points of a truth table: one neuron, and the 2-2-1 that learns XOR.

Both are trained as printed: J = ¼ Σ (f* − f)² over the four points, minimised by plain gradient descent, with the error
signals of training/autograd.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.autograd import Value, backward, sigmoid, tanh, total

Array = NDArray[np.float64]
Unit = Callable[[Value], Value]

POINTS: Array = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TABLES: dict[str, Array] = {
    "and": np.array([0.0, 0.0, 0.0, 1.0]),
    "or": np.array([0.0, 1.0, 1.0, 1.0]),
    "xor": np.array([0.0, 1.0, 1.0, 0.0]),
}


@dataclass
class Neuron:
    """f(x) = g(w·x + b).

    Attributes:
        w, b: (2,) and a number.
        unit: g; None: linear.
    """

    w: Value
    b: Value
    unit: Unit | None = sigmoid

    @property
    def parameters(self) -> tuple[Value, ...]:
        return self.w, self.b

    def __call__(self, points: Array) -> Value:
        """(n, 2) -> (n,)."""
        z = Value(points, "x") @ self.w + self.b
        return self.unit(z) if self.unit else z


@dataclass
class TwoLayers:
    """f(x) = w2ᵀ g(W1ᵀ x + b) + c, with two hidden units: 9 numbers.

    Attributes:
        w1, b, w2, c: (2, 2), (2,), (2,) and a number.
        unit: g.
    """

    w1: Value
    b: Value
    w2: Value
    c: Value
    unit: Unit

    @property
    def parameters(self) -> tuple[Value, ...]:
        return self.w1, self.b, self.w2, self.c

    def __call__(self, points: Array) -> Value:
        """(n, 2) -> (n,)."""
        return self.unit(Value(points, "x") @ self.w1 + self.b) @ self.w2 + self.c


def neuron(seed: int, unit: Unit | None = sigmoid) -> Neuron:
    """A neuron with small random weights."""
    return Neuron(Value(np.random.default_rng(seed).normal(0, 0.2, 2), "w"), Value(0.0, "b"), unit)


def two_layers(seed: int, unit: Unit = tanh, scale: float = 0.2) -> TwoLayers:
    """A 2-2-1 with random weights of this standard deviation, and biases 0.

    The weights must differ, or both hidden units get the same error signals and stay one unit for ever. They must be
    small, or tanh starts out flat, where hardly any error signal passes. With ReLU most starts fail: a unit
    that is 0 at all four points gets no error signal, and never comes back (it is dead).
    """
    random = np.random.default_rng(seed)
    return TwoLayers(
        Value(random.normal(0, scale, (2, 2)), "W1"),
        Value(np.zeros(2), "b"),
        Value(random.normal(0, scale, 2), "w2"),
        Value(0.0, "c"),
        unit,
    )


def loss(network: Neuron | TwoLayers, targets: Array) -> Value:
    """J = ¼ Σ (f* − f)²."""
    return 0.25 * total((targets - network(POINTS)) ** 2)


def learn(
    network: Neuron | TwoLayers, table: str, rate: float = 0.5, steps: int = 5000, enough: float = 1e-3
) -> list[float]:
    """Gradient descent, in place.

    Args:
        network: what learns.
        table: "and", "or" or "xor".
        rate: of each step, against the error signals.
        steps: at most.
        enough: the loss at which it is over.

    Returns:
        The loss before each step.
    """
    losses = []
    for _ in range(steps):
        j = loss(network, TABLES[table])
        losses.append(float(j.value))
        if j.value < enough:
            break
        backward(j)
        for parameter in network.parameters:
            parameter.value = parameter.value - rate * parameter.bar
    return losses


def right(network: Neuron | TwoLayers, table: str) -> int:
    """At how many of the four points the output is on the target's side of ½."""
    return int(((network(POINTS).value > 0.5) == (TABLES[table] > 0.5)).sum())
