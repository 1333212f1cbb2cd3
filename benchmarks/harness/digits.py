"""Digits to send: strokes of a round pen in 28x28 pixels, similar to MNIST. No data set is needed."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
Point = tuple[float, float]

SCALE, BOX, PEN = 8, 20, 2.3  # drawn at 8 times the size; the ink fits 20x20 pixels; the pen is 2.3 pixels wide


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> list[Point]:
    turns = [math.radians(start + (end - start) * i / 24) for i in range(25)]
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


STROKES: dict[int, list[list[Point]]] = {  # in a unit square, y downwards; angles run clockwise from the right
    0: [_arc(0.5, 0.5, 0.34, 0.48, -70, 300)],
    1: [[(0.38, 0.14), (0.56, 0.02), (0.48, 0.98)]],
    2: [[*_arc(0.48, 0.26, 0.3, 0.25, 190, 400), (0.2, 0.95), (0.36, 0.88), (0.84, 0.93)]],
    3: [_arc(0.45, 0.25, 0.28, 0.23, 200, 440), _arc(0.45, 0.72, 0.32, 0.26, 280, 520)],
    4: [[(0.32, 0.05), (0.2, 0.5), (0.8, 0.46)], [(0.72, 0.1), (0.62, 0.98)]],
    5: [[(0.8, 0.05), (0.36, 0.07), (0.3, 0.44), *_arc(0.46, 0.68, 0.3, 0.28, 250, 500)]],
    6: [[(0.66, 0.03), (0.38, 0.3), *_arc(0.5, 0.7, 0.26, 0.27, 200, 570)]],
    7: [[(0.18, 0.1), (0.82, 0.06), (0.4, 0.98)]],
    8: [_arc(0.52, 0.25, 0.22, 0.22, 0, 360), _arc(0.5, 0.73, 0.28, 0.25, 0, 360)],
    9: [_arc(0.48, 0.27, 0.25, 0.24, 0, 360), [(0.73, 0.27), (0.68, 0.6), (0.58, 0.98)]],
}


def draw(digit: int, slant: float = 0.12) -> Pixels:
    """One digit as uint8 (28, 28), bright ink on a dark background, leaning to the right by `slant`."""
    canvas = Image.new("L", (28 * SCALE, 28 * SCALE))
    pen = ImageDraw.Draw(canvas)
    edge, size, radius = 4 * SCALE, BOX * SCALE, PEN * SCALE / 2
    for stroke in STROKES[digit]:
        points = [(edge + (x + slant * (0.5 - y)) * size, edge + y * size) for x, y in stroke]
        pen.line(points, fill=255, width=round(2 * radius), joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(canvas.resize((28, 28), Image.Resampling.BOX), np.uint8)


def digits(count: int) -> Pixels:
    """uint8 (count, 28, 28): 100 different digits, repeated. The first is a 3."""
    different = [draw((3 + i) % 10, slant=-0.1 + 0.03 * (i // 10)) for i in range(min(count, 100))]
    return np.resize(np.stack(different), (count, 28, 28))


def png(pixels: Pixels) -> bytes:
    """One digit, uint8 (28, 28), as a greyscale PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
