"""CSV rows of 784 pixels, as in Kaggle's test.csv -> digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from service.bodies.pixels import SIDE, SIZE, Pixels, check_count, rounded
from service.errors import InvalidValue

HEADER = re.compile(rb"pixel", re.IGNORECASE)
LINES_PER_PIECE = 16


def from_csv(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """Rows of 784 pixels, as in Kaggle's test.csv; a first line of names (pixel0, ...) is passed over."""
    ends = max(body.count(b"\n"), body.count(b"\r"))
    if ends > max_instances + 2:  # before they become so many objects
        check_count(ends, max_instances)
    lines = body.splitlines()
    first = 1 if lines and HEADER.search(lines[0]) else 0
    check_count(len(lines) - first, max_instances)
    if len(lines) == first:
        raise InvalidValue("The CSV has no rows; send rows of 784 pixels, as in Kaggle's test.csv.", "row 1")
    for start in range(first, len(lines), LINES_PER_PIECE):
        yield _rows(lines[start : start + LINES_PER_PIECE], start + 1)


def _rows(lines: list[bytes], number: int) -> Pixels:
    rows = []
    for i, line in enumerate(lines):
        if (columns := line.count(b",") + 1) != SIZE:
            hint = " The first column of Kaggle's train.csv is the label: leave it out." if columns == 785 else ""
            place = f"line {number + i}"
            raise InvalidValue(f"{place} has {columns} columns and must have 784.{hint}", place)
        cells = line.split(b",")
        try:
            if b"_" in line:  # which Python's int() takes for a separator
                raise ValueError
            rows.append(bytes(map(int, cells)))
        except ValueError:
            rows.append(_row(cells, number + i))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, SIDE, SIDE)


def _row(cells: list[bytes], number: int) -> bytes:
    """A line that is not all whole numbers 0-255: round fractions, or say which column is wrong."""
    for column, cell in enumerate(cells, 1):
        try:
            ok = b"_" not in cell and 0 <= float(cell) <= 255
        except ValueError:
            ok = False
        if not ok:
            shown = cell[:20].decode("utf-8", "replace")
            place = f"line {number}, column {column}"
            raise InvalidValue(f"{place} holds {shown!r}; a pixel is a number from 0 to 255.", place)
    return rounded(np.array(cells, np.float64), f"line {number}").tobytes()
