"""Back-propagation, small enough to read: reverse-mode differentiation of scalars and arrays (the lecture, part 3).

Each operation makes a Value that knows its parents, and the rule by which its error signal gives theirs: a formula
builds its computation graph while it is computed (forward). `backward` goes through it in reverse topological order,
so that each Value has all of its error signal, `bar` (v with a bar: d result / d v), before it passes it on.

    w, x, t = Value(2.0, "w"), Value(0.5, "x"), 1.0
    loss = 0.5 * (sigmoid(w * x) - t) ** 2
    backward(loss)
    w.bar  # dL/dw = (y - t) * sigmoid'(z) * x
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Rule = Callable[[Array], tuple[Array, ...]]  # the error signal of a Value -> those that its parents get from it


class Value:
    """A node of the computation graph.

    Attributes:
        value: a number or an array, as float64.
        name, parents: for drawings; what it was computed from, nothing for an input or a parameter.
        bar: its error signal, of the shape of `value`; 0 until `backward`.
    """

    __array_ufunc__ = None  # array + Value is for Value, not for NumPy

    def __init__(
        self, value: ArrayLike, name: str = "", parents: tuple[Value, ...] = (), rule: Rule = lambda _: ()
    ) -> None:
        self.value: Array = np.asarray(value, np.float64)
        self.name, self.parents, self._rule = name, parents, rule
        self.bar: Array = np.zeros_like(self.value)

    def pass_on(self) -> None:
        """Add to each parent's error signal what it gets by way of this Value: all ways count (fan-out)."""
        for parent, signal in zip(self.parents, self._rule(self.bar), strict=True):
            parent.bar = parent.bar + _summed_to(parent.value.shape, signal)

    def __add__(self, other: Value | ArrayLike) -> Value:
        other = constant(other)
        return Value(self.value + other.value, "+", (self, other), lambda bar: (bar, bar))

    def __mul__(self, other: Value | ArrayLike) -> Value:
        other = constant(other)
        a, b = self.value, other.value
        return Value(a * b, "×", (self, other), lambda bar: (bar * b, bar * a))

    def __pow__(self, exponent: float) -> Value:
        a = self.value
        return Value(a**exponent, f"^{exponent:g}", (self,), lambda bar: (bar * exponent * a ** (exponent - 1),))

    def __matmul__(self, other: Value | ArrayLike) -> Value:
        """Product of matrices or vectors. With y = W x, the error signal of W is ȳ xᵀ, and that of x is Wᵀ ȳ."""
        other = constant(other)
        a, b = self.value, other.value
        left, right = a.reshape(-1, a.shape[-1]), b.reshape(len(b), -1)  # vectors as a row and as a column

        def rule(bar: Array) -> tuple[Array, ...]:
            bar = bar.reshape(len(left), right.shape[1])
            return (bar @ right.T).reshape(a.shape), (left.T @ bar).reshape(b.shape)

        return Value(a @ b, "@", (self, other), rule)

    def __neg__(self) -> Value:
        return self * -1.0

    def __sub__(self, other: Value | ArrayLike) -> Value:
        other = constant(other)
        return Value(self.value - other.value, "-", (self, other), lambda bar: (bar, -bar))

    def __rsub__(self, other: ArrayLike) -> Value:
        return constant(other) - self

    def __truediv__(self, other: Value | ArrayLike) -> Value:
        return self * constant(other) ** -1

    __radd__, __rmul__ = __add__, __mul__


def constant(value: Value | ArrayLike) -> Value:
    """A Value of what may be one already."""
    return value if isinstance(value, Value) else Value(value)


def elementwise(name: str, f: Any, derivative: Any) -> Callable[[Value], Value]:
    """A function of each element, by its derivative at z, where it has the value y."""

    def of(v: Value) -> Value:
        y = f(v.value)
        return Value(y, name, (v,), lambda bar: (bar * derivative(v.value, y),))

    return of


exp = elementwise("exp", np.exp, lambda _, y: y)
log = elementwise("log", np.log, lambda z, _: 1 / z)
absolute = elementwise("|·|", np.abs, lambda z, _: np.sign(z))
sigmoid = elementwise("σ", lambda z: 0.5 + 0.5 * np.tanh(z / 2), lambda _, y: y * (1 - y))  # 1 / (1 + e^-z)
tanh = elementwise("tanh", np.tanh, lambda _, y: 1 - y**2)
relu = elementwise("ReLU", lambda z: np.maximum(0, z), lambda z, _: z > 0)  # at 0, as everywhere, 0


def total(v: Value, axis: int | None = None) -> Value:
    """The sum over an axis, which is kept with length 1, or over all."""
    return Value(v.value.sum(axis=axis, keepdims=axis is not None), "sum", (v,), lambda bar: (bar + 0 * v.value,))


def softmax(v: Value) -> Value:
    """e^z / sum of e^z over the last axis, made of the operations above; the largest z is taken off: no overflow."""
    powers = exp(v - v.value.max(axis=-1, keepdims=True))
    return powers / total(powers, axis=-1)


def topological_order(result: Value) -> list[Value]:
    """All that a result was computed from, parents before children; the result is the last."""
    order: dict[int, Value] = {}

    def visit(v: Value) -> None:
        if id(v) not in order:
            for parent in v.parents:
                visit(parent)
            order[id(v)] = v

    visit(result)
    return list(order.values())


def backward(result: Value) -> None:
    """Compute the error signal of everything that a result, a single number, was computed from."""
    order = topological_order(result)
    for v in order:
        v.bar = np.zeros_like(v.value)
    result.bar = np.ones_like(result.value)
    for v in reversed(order):
        v.pass_on()


def _summed_to(shape: tuple[int, ...], signal: Array) -> Array:
    """What was copied along an axis, to fit (broadcast), gets the sum of what comes back."""
    signal = signal.sum(axis=tuple(range(signal.ndim - len(shape))))
    return np.asarray(signal.sum(axis=tuple(at for at, length in enumerate(shape) if length == 1), keepdims=True))
