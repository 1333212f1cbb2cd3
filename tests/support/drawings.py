"""Digits drawn on paper, as arrays and as picture files, and measures of the digit that the service finds in them."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

Array = NDArray[Any]
Y, X = np.mgrid[:28, :28]
WRITTEN = [load_digits().images[i] / 16 for i in range(10)]  # real handwriting, 8x8: the digits 0 to 9


def file(picture: Image.Image | Array, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, kind, **options)
    return stream.getvalue()


def enlarged(digit: Array, side: int = 200) -> Array:
    """Handwriting, smoothly enlarged; 0 to 1, the share of each pixel that ink covers."""
    picture = Image.fromarray(digit.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(np.asarray(picture).clip(0, 1))


def drawn(shape: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Array:
    """Boxes (top, left, bottom, right) of ink: 1 inside, 0 outside."""
    ink = np.zeros(shape)
    for top, left, bottom, right in boxes:
        ink[top:bottom, left:right] = 1
    return ink


def on_paper(ink: Array, paper: Any = 255, pen: float = 0.0) -> Array:
    return np.asarray(np.clip(paper * (1 - ink * (1 - pen)), 0, 255).round().astype(np.uint8))


def seven(side: int = 120) -> Array:
    """A shape that differs from every rotation and reflection of itself."""
    scale = side // 12
    return drawn((side, side), *(tuple(scale * n for n in box) for box in ((2, 3, 4, 8), (4, 7, 10, 8))))  # type: ignore[arg-type]


def centre(digit: Array) -> tuple[float, float]:
    return float((digit * Y).sum() / digit.sum()), float((digit * X).sum() / digit.sum())


def extent(digit: Array) -> tuple[int, int]:
    rows, columns = np.nonzero(digit > 64)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def likeness(one: Array, other: Array) -> float:
    """The best correlation of nine shifts by at most one pixel: rounding may place the digit one pixel away."""
    moved = [np.roll(one, shift, (0, 1)) for shift in product((-1, 0, 1), repeat=2)]
    return max(float(np.corrcoef(picture.ravel(), other.ravel())[0, 1]) for picture in moved)
