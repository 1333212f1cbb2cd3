"""Digits in memory: the pixels, their labels and where they came from. Everything else reads and returns these."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError


@dataclass(frozen=True)
class Digits:
    """n digits. `files` maps the name of each file they came from to the SHA-256 of its (unzipped) contents."""

    pixels: NDArray[np.uint8]  # (n, 28, 28), 0 is paper and 255 is ink
    labels: NDArray[np.uint8] | None = None  # (n,), 0 to 9; None for digits nobody has labelled
    files: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: NDArray[np.int64]) -> "Digits":
        """The digits at these places, in this order."""
        return Digits(self.pixels[index], None if self.labels is None else self.labels[index], self.files)


def check_labels(labels: NDArray[np.generic], file: Path, array: str = "") -> NDArray[np.uint8]:
    """Labels as uint8 (n,). Raises DataError naming the first row that is not 0 to 9; rows count from 1.

    `array` is the labels' name in a file that holds other arrays too.
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


def split(digits: Digits, share: float, random_state: int) -> tuple[Digits, Digits]:
    """The lecture's train_test_split: (training, validation). Kaggle's 42,000 give 37,800 and 4,200.

    Raises DataError where there are no labels, or too few digits to hold some out.
    """
    from sklearn.model_selection import train_test_split

    files = ", ".join(digits.files) or "The data"
    if digits.labels is None:
        raise DataError(f"{files}: no labels. Give labelled digits, such as Kaggle's train.csv.")
    if len(digits) < 10:
        raise DataError(f"{files}: only {len(digits)} digits; at least 10 are needed to hold some out.")
    train, validation = train_test_split(np.arange(len(digits)), test_size=share, random_state=random_state)
    return digits.take(train), digits.take(validation)
