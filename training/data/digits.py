"""Digits in memory: the pixels, their labels and their source files. Every reader in this folder returns them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError


@dataclass(frozen=True)
class Digits:
    """n digits. `files` maps the name of each source file to the SHA-256 of its (unzipped) contents."""

    pixels: NDArray[np.uint8]  # (n, 28, 28); 0 is background, 255 is full ink
    labels: NDArray[np.uint8] | None = None  # (n,), 0 to 9; None for unlabelled digits
    files: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def names(self) -> str:
        """The source files in words, as the beginning of an error message."""
        return ", ".join(self.files) or "The data"

    def labelled(self, advice: str = "Give labelled digits, such as Kaggle's train.csv.") -> "LabelledDigits":
        """The same digits with labels guaranteed. Raises DataError, ending in `advice`, where there are none."""
        if self.labels is None:
            raise DataError(f"{self.names}: no labels. {advice}")
        return LabelledDigits(self.pixels, self.labels, self.files)


@dataclass(frozen=True)
class LabelledDigits(Digits):
    """Digits that all have a label: what training, evaluation and export need. `Digits.labelled` makes them."""

    labels: NDArray[np.uint8] = field()  # without a default here, so that no label can be forgotten

    def take(self, index: NDArray[np.int64]) -> Self:
        """The digits at the positions `index` (k,), in that order."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])


def check_labels(labels: NDArray[Any], file: Path, array: str = "") -> NDArray[np.uint8]:
    """Labels as uint8 (n,). Raises DataError naming the first row that is not 0 to 9; rows count from 1.

    `array` is the name of the labels in a file that holds several arrays.
    """
    if labels.dtype.kind not in "iu":
        kind = "text" if labels.dtype.kind in "US" else labels.dtype
        raise DataError(f"{file}: {array or 'labels'} holds {kind}; expected whole numbers 0 to 9.")
    wrong = (labels < 0) | (labels > 9)
    if wrong.any():
        row = int(np.argmax(wrong))
        where = f"row {row + 1} of {array}" if array else f"row {row + 1}"
        raise DataError(f"{file}, {where}: the label is {labels[row]}; expected a digit 0 to 9.")
    return labels.astype(np.uint8)
