"""A grey picture of any size -> one digit as MNIST has it: uint8 (28, 28), bright ink on a dark ground.

MNIST's own normalisation: find the ink, crop to it, scale its longer side to 20 pixels, put its centre of mass at pixel
(14, 14) (LeCun et al., "Gradient-based learning applied to document recognition", 1998). Knows grey levels, not files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.digits import SIDE, Pixels
from service.errors import InvalidValue

if TYPE_CHECKING:  # Pillow is imported with the first picture: a service that gets none does not pay for it
    from PIL.Image import Image

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

INNER_SIDE = 20  # pixels of the longer side of the ink
CENTRE = 14  # where the centre of mass is put, in both axes
ANALYSIS_SIDE = 160  # pixels of the longer side of the picture that is searched for ink
MAX_NOISE = 12  # standard deviation in grey levels; no paper is noisier
MIN_CONTRAST = 10  # grey levels between ink and ground
MAX_COMPONENT_RATIO = 10  # largest connected component to this one, in area; smaller ones are dirt
CELL = 4  # pixels per side of the cells in which components are searched
FIT_STEPS = 7
MAD_TO_SIGMA = 1.4826  # standard deviation of a normal distribution per median absolute deviation


def normalized(picture: Image) -> Pixels:
    """The digit in a picture, as MNIST would have it.

    The whole picture is searched first, reduced to ANALYSIS_SIDE; while the ink fills less than half of its length, the
    search is repeated on the part around the ink, at a higher resolution.

    Args:
        picture: grey levels 0-255, mode "L" or "F", at least 1x1. Ink is what differs most from the border.

    Returns:
        uint8 (28, 28).

    Raises:
        InvalidValue: there is no ink.
    """
    from PIL import Image

    while True:
        step = -(-max(picture.size) // ANALYSIS_SIDE)
        ink, sure = _ink(np.asarray(picture.reduce(step), np.float32))
        left, top, right, bottom = _box(sure)
        size = max(right - left, bottom - top)
        if step == 1 or size * 2 > max(ink.shape):
            break
        margin = size // 10 + 2
        left, top = max(0, left - margin) * step, max(0, top - margin) * step
        right, bottom = min(picture.width, (right + margin) * step), min(picture.height, (bottom + margin) * step)
        picture = picture.crop((left, top, right, bottom))
    fit = [max(1, round(length * INNER_SIDE / size)) for length in (right - left, bottom - top)]
    scaled = Image.fromarray(ink).resize((fit[0], fit[1]), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    return _centred(np.asarray(scaled))


def _ink(levels: Floats) -> tuple[Floats, Mask]:
    """Ink of each pixel, float32 0-1 and 0 away from strokes; and a mask of the pixels that certainly are strokes."""
    ground, noise = _background(levels)
    contrast = levels - ground
    if -contrast.min() > contrast.max():  # ink is what differs most from the border
        contrast = -contrast
    least = max(5 * min(noise, MAX_NOISE), MIN_CONTRAST)
    strong = np.sort(contrast[contrast > least])
    if not strong.size:
        raise InvalidValue(
            "No ink was found in the picture; send a digit that stands out from its background.", "image"
        )
    full = strong[int(0.9 * (strong.size - 1))]
    sure = _large_components(contrast > max(least, 0.35 * full))
    around = np.pad(sure, 1)
    around = sure | around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:]
    return np.where(around, np.clip(contrast / full, 0, 1), 0).astype(np.float32), sure


def _background(levels: Floats) -> tuple[Floats, float]:
    """Background level of each pixel, and the noise around it in grey levels.

    A quadratic surface fitted to the border, because paper is never evenly lit; one level for small pictures.
    """
    y, x = np.mgrid[-1 : 1 : levels.shape[0] * 1j, -1 : 1 : levels.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][: 6 if max(levels.shape) > 2 * SIDE else 1])
    edge = np.ones(levels.shape, bool)
    edge[3:-3, 3:-3] = False
    stride = edge.sum() // 600 + 1
    border, basis = levels[edge][::stride], terms[:, edge][:, ::stride]
    surface, noise = _fitted(border, basis, lambda residuals: 1 / np.maximum(residuals, 1))
    if noise > MAX_NOISE:  # strokes cross the border: fit the half of it with the smaller residuals
        surface, noise = _fitted(border, basis, lambda residuals: residuals <= np.median(residuals) + 1)
    return np.tensordot(surface, terms, 1), noise


def _fitted(border: Floats, basis: Floats, weights: Callable[[Floats], NDArray[Any]]) -> tuple[Floats, float]:
    """Iteratively reweighted least squares: coefficients (k,), and a robust standard deviation of the residuals.

    Args:
        border: grey levels (n,).
        basis: terms (k, n) of the surface at these pixels.
        weights: weights (n,) from absolute residuals (n,).
    """
    surface = np.zeros(len(basis))
    surface[0] = np.median(border)
    for _ in range(FIT_STEPS):
        residuals = np.abs(border - surface @ basis)
        if np.median(residuals) == 0:
            break  # a drawing, not a photo: one level, nothing to fit
        weighted = basis * weights(residuals)
        surface = np.linalg.solve(weighted @ basis.T + 1e-6 * np.eye(len(basis)), weighted @ border)
    return surface, MAD_TO_SIGMA * float(np.median(np.abs(border - surface @ basis)))


def _large_components(inked: Mask) -> Mask:
    """Drops connected components smaller than a tenth of the largest (MAX_COMPONENT_RATIO).

    Connected-component labelling on cells of 4x4 pixels, 8-connected: each cell takes the largest label around it and
    then that cell's own label (pointer jumping), until nothing changes.
    """
    height, width = -(-inked.shape[0] // CELL), -(-inked.shape[1] // CELL)
    grid = np.zeros((height * CELL, width * CELL), bool)
    grid[: inked.shape[0], : inked.shape[1]] = inked
    area = grid.reshape(height, CELL, width, CELL).sum((1, 3))
    labels = np.arange((height + 2) * (width + 2)).reshape(height + 2, width + 2) * np.pad(area > 0, 1)
    while True:
        tall = np.maximum(labels[1:-1], np.maximum(labels[:-2], labels[2:]))
        wide = np.maximum(tall[:, 1:-1], np.maximum(tall[:, :-2], tall[:, 2:]))
        found = labels.ravel()[wide * (area > 0)]
        if np.array_equal(found, labels[1:-1, 1:-1]):
            break
        labels[1:-1, 1:-1] = found
    sizes = np.bincount(found.ravel(), area.ravel())
    kept: Mask = (sizes * MAX_COMPONENT_RATIO >= sizes.max())[found].repeat(CELL, 0).repeat(CELL, 1)
    return inked & kept[: inked.shape[0], : inked.shape[1]]


def _box(inked: Mask) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is inked, as Pillow takes a box."""
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _centred(scaled: Floats) -> Pixels:
    """Strokes as bright as MNIST's, however thin they were, with their centre of mass at pixel (14, 14)."""
    drawn = np.maximum(scaled, 0)  # LANCZOS undershoots
    strokes = np.sort(drawn[drawn > 0.05 * drawn.max()])
    drawn = np.minimum(drawn / strokes[int(0.8 * (strokes.size - 1))], 1)
    digit = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for length, profile in zip(drawn.shape, (drawn.sum(1), drawn.sum(0)), strict=True):
        wanted = round(CENTRE - float(profile @ np.arange(length) / profile.sum()))
        start = min(max(0, wanted), SIDE - length)  # the whole digit stays inside
        place.append(slice(start, start + length))
    digit[tuple(place)] = np.rint(drawn * 255)
    return digit
