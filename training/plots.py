"""Three pictures: the learning curves, the confusion matrix and the most confident mistakes."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into files and needs no display

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from training.metrics import worst

DPI = 110
TRAINING, VALIDATION = "#9a9a9a", "#1565c0"
MISTAKES = 40  # 5 rows of 8


def curves(history: list[dict[str, float]], best_epoch: int, file: Path) -> None:
    """Loss and accuracy per epoch, on the training digits and on the held-out digits."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    # How to read it: both curves fall while the network learns what digits have in common. Where the grey one goes on
    # falling and the blue one rises, it learns single digits by heart (overfitting). Here the blue one is often the
    # better, because the grey one is measured with dropout and distortion.
    _curve(left, history, "loss", "loss (cross-entropy)", best_epoch)
    left.set_yscale("log")  # the loss falls from 2.3 to 0.02: on a linear axis the last epochs would look flat
    _curve(right, history, "digit_accuracy", "digits read correctly", best_epoch)
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    held_out = [row["val_digit_accuracy"] for row in history]
    # The first tenth of the epochs may leave the picture, so that the rest does not lie in one line at the top.
    right.set_ylim(min(held_out[len(held_out) // 10 :]) - 0.01, 1.001)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, file)


def _curve(axes: Axes, history: list[dict[str, float]], name: str, title: str, best_epoch: int) -> None:
    epochs = [row["epoch"] for row in history]
    axes.plot(
        epochs, [row[name] for row in history], color=TRAINING, label="training digits, with dropout and distortion"
    )
    axes.plot(epochs, [row[f"val_{name}"] for row in history], color=VALIDATION, label="held-out digits")
    axes.axvline(best_epoch, color=VALIDATION, linewidth=0.8, linestyle=":", label=f"best epoch: {best_epoch}")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def confusion_matrix(table: NDArray[np.int64], title: str, file: Path) -> None:
    """Counts: rows are labels, columns are predictions. Only mistakes are coloured: they are rare."""
    mistakes = np.where(np.eye(10, dtype=bool), 0, table)
    figure, axes = plt.subplots(figsize=(5.6, 5.6), layout="constrained")
    axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()) * 1.3)
    for row, column in np.ndindex(table.shape):
        right = row == column
        text = f"{table[row, column]:,}" if table[row, column] else "·"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8,
            weight="bold" if right else "normal",
            color="black" if table[row, column] else "#bbbbbb",
        )
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("read as")
    axes.set_ylabel("it is")
    axes.set_title(title, parse_math=False)  # it names a folder, and two dollar signs would make a formula of it
    axes.tick_params(length=0)
    _save(figure, file)


def worst_mistakes(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], probabilities: NDArray[Any], title: str, file: Path
) -> None:
    """The most confident mistakes, each with the prediction and the label; pixels (n, 28, 28)."""
    places = worst(probabilities, labels, MISTAKES)
    rows = max(1, -(-len(places) // 8))
    figure, grid = plt.subplots(rows, 8, figsize=(9.6, 1.55 * rows + 0.5), layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for place, axes in zip(places, grid.flat, strict=False):
        predicted = int(probabilities[place].argmax())
        axes.imshow(pixels[place], cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(f"read {predicted} ({probabilities[place, predicted]:.1%})\nis {labels[place]}", fontsize=8)
    figure.suptitle(title if len(places) else f"{title}: none", fontsize=10, parse_math=False)
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=DPI)
    plt.close(figure)
