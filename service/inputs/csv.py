"""CSV rows of 784 pixels, as in Kaggle's test.csv -> digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from service.digits import SIDE, SIZE, Pixels
from service.errors import InvalidValue
from service.inputs.pixels import check_count, rounded

BOM = b"\xef\xbb\xbf"
HEADER = re.compile(rb"pixel", re.IGNORECASE)
NAMES = [b"pixel%d" % i for i in range(SIZE)]
LABEL = " The first column of Kaggle's train.csv is the label: leave it out."
LINES_PER_PIECE = 16


def from_csv(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """Rows of 784 pixels, as in Kaggle's test.csv; a header line (pixel0, ..., pixel783) is optional.

    Raises:
        InvalidValue: a line of another length or with a wrong value, a wrong header, or no rows.
        PayloadTooLarge: more than `max_instances` rows.
    """
    ends = max(body.count(b"\n"), body.count(b"\r"))
    if ends > max_instances + 2:  # before they are split into objects
        check_count(ends, max_instances)
    lines = body.removeprefix(BOM).replace(b'"', b"").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    first = 1 if lines and HEADER.search(lines[0]) else 0
    if first:
        _check_names(lines[0])
    check_count(len(lines) - first, max_instances)
    if len(lines) == first:
        raise InvalidValue("The CSV has no rows; send rows of 784 pixels, as in Kaggle's test.csv.", "row 1")
    for start in range(first, len(lines), LINES_PER_PIECE):
        yield _rows(lines[start : start + LINES_PER_PIECE], start + 1)


def _rows(lines: list[bytes], number: int) -> Pixels:
    rows = []
    for i, line in enumerate(lines):
        if (columns := line.count(b",") + 1) != SIZE:
            place = f"line {number + i}"
            raise InvalidValue(f"{place} has {columns} columns and must have 784.{_hint(line, columns)}", place)
        cells = line.split(b",")
        try:
            if b"_" in line:  # int() accepts 1_0
                raise ValueError
            rows.append(bytes(map(int, cells)))
        except ValueError:
            rows.append(_row(cells, number + i))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, SIDE, SIDE)


def _check_names(line: bytes) -> None:
    """pixel0 to pixel783 in order: pixels in another order would be misread as other digits."""
    names = [name.strip().lower() for name in line.split(b",")]
    if names != NAMES:
        hint = LABEL if names[:1] == [b"label"] else ""
        wrong = next((i for i, (a, b) in enumerate(zip(names, NAMES, strict=False)) if a != b), len(names))
        raise InvalidValue(
            f"line 1 names {len(names)} columns, and must name pixel0 to pixel783 in that order (column {wrong + 1} is "
            f"another), or be left out.{hint}",
            "line 1",
        )


def _hint(line: bytes, columns: int) -> str:
    if columns == SIZE + 1:
        return " A comma stands at its end." if not line.rpartition(b",")[2].strip() else LABEL
    if max(line.count(b";"), line.count(b"\t")) == SIZE - 1:
        return " Separate them by commas."
    return ""


def _row(cells: list[bytes], number: int) -> bytes:
    """A line that is not all integers 0-255: fractions are rounded, other values rejected by their column."""
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
