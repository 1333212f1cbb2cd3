"""Draws a computation graph of training/autograd.py: what each node computes, its value, and its error signal."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files and needs no display

import numpy as np
from matplotlib import pyplot as plt

from training.autograd import Array, Value, topological_order

DPI = 110
COLUMN, ROW = 2.0, 1.25  # inches between the middles of two boxes
MOST_NUMBERS = 6  # of an array that are written out; a larger one is named by its shape
GIVEN, COMPUTED, LINE = "#eef3fb", "#ffffff", "#8a8a8a"
VALUE, SIGNAL = "#202020", "#b3261e"


def draw(result: Value, file: Path) -> None:
    """Draw everything that a result was computed from: inputs on the left, the result on the right.

    Read the black numbers from left to right (forward) and the red ones, with the bar, from right to left (backward).

    Args:
        result: a single number; call `backward` before, or all error signals are 0.
        file: of the picture; its suffix says of which kind.
    """
    order = topological_order(result)
    places = _places(order)
    columns = 1 + max(x for x, _ in places.values())
    rows = 1 + max(y for _, y in places.values())
    figure, axes = plt.subplots(figsize=(COLUMN * columns, ROW * rows))
    axes.set_axis_off()
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    boxes = {}
    for node in order:
        x, y = places[id(node)]
        text = f"{node.name or 'constant'}\n{_written(node.value)}"
        box = {"boxstyle": "round,pad=0.3", "edgecolor": LINE, "facecolor": COMPUTED if node.parents else GIVEN}
        written = axes.text(x, y, text, ha="center", va="center", fontsize=8, color=VALUE, bbox=box)
        axes.text(x, y + 0.27, f"bar {_written(node.bar)}", ha="center", va="top", fontsize=8, color=SIGNAL)
        boxes[id(node)] = written.get_bbox_patch()
        for parent in node.parents:
            ends = {"patchA": boxes[id(parent)], "patchB": boxes[id(node)]}
            axes.annotate("", (x, y), places[id(parent)], arrowprops={"arrowstyle": "->", "color": LINE, **ends})
    figure.savefig(file, dpi=DPI, bbox_inches="tight")
    plt.close(figure)


def _places(order: list[Value]) -> dict[int, tuple[int, float]]:
    """Column and row of each node: one column to the right of the last of its parents; columns are centred."""
    column: dict[int, int] = {}
    for node in order:
        column[id(node)] = max((column[id(parent)] + 1 for parent in node.parents), default=0)
    for node in order:  # an input stands beside what it is first used for
        if not node.parents:
            column[id(node)] = min((column[id(child)] - 1 for child in order if node in child.parents), default=0)
    members: dict[int, list[int]] = {}
    for node in order:
        members.setdefault(column[id(node)], []).append(id(node))
    most = max(map(len, members.values()))
    return {key: (x, row + (most - len(keys)) / 2) for x, keys in members.items() for row, key in enumerate(keys)}


def _written(array: Array) -> str:
    if array.size > MOST_NUMBERS:
        return "×".join(map(str, array.shape))
    return np.array2string(array, separator=", ", formatter={"float_kind": "{:.3g}".format}).replace("\n", "")
