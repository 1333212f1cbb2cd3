"""CSV rows of 784 pixels, as in Kaggle's test.csv -> digits."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import numpy as np

from service.concurrency import WINDOW_BYTES
from service.digits import SIDE, SIZE, Pixels
from service.errors import InvalidValue
from service.inputs.pixels import check_count, rounded

BOM = b"\xef\xbb\xbf"
HEADER = re.compile(rb"pixel", re.IGNORECASE)
NAMES = [b"pixel%d" % i for i in range(SIZE)]
LABEL = " The first column of Kaggle's train.csv is the label: leave it out."
LINES_PER_PIECE = 16
MAX_LINE_BYTES = 64 * 1024  # 83 bytes per pixel
NOTHING = np.empty((0, SIDE, SIDE), np.uint8)


def from_csv(body: bytes, max_instances: int) -> Iterator[Pixels]:
    """Rows of 784 pixels, as in Kaggle's test.csv; a header line (pixel0, ..., pixel783) is optional.

    Raises:
        InvalidValue: a line of another length or with a wrong value, a wrong header, or no rows.
        PayloadTooLarge: more than `max_instances` rows.
    """
    ends = yield from _line_ends(body)
    if ends > max_instances + 2:  # before they are split into objects
        check_count(ends, max_instances)
    number, rows, blank = 1, 0, 0  # of the next line, so far, of the first of the blank lines before
    for lines in _lines(body):
        count = len(lines)
        filled = _without_blanks(lines)
        if blank and filled:
            _rows([b""], blank)
        if len(filled) < count:
            blank = blank or number + len(filled)
        first = 1 if number == 1 and filled and HEADER.search(filled[0]) else 0
        if first:
            _check_names(filled[0])
        rows += len(filled) - first
        check_count(rows, max_instances)
        for start in range(first, len(filled), LINES_PER_PIECE):
            yield _rows(filled[start : start + LINES_PER_PIECE], number + start)
        if not filled:
            yield NOTHING
        number += count
    if not rows:
        raise InvalidValue("The CSV has no rows; send rows of 784 pixels, as in Kaggle's test.csv.", "row 1")


def _line_ends(body: bytes) -> Generator[Pixels, None, int]:
    found = [0, 0]
    for start in range(0, len(body), WINDOW_BYTES):
        if start:
            yield NOTHING
        for i, end in enumerate((b"\n", b"\r")):
            found[i] += body.count(end, start, start + WINDOW_BYTES)
    return max(found)


def _lines(body: bytes) -> Iterator[list[bytes]]:
    """The lines without quotes, some at a time. Raises InvalidValue for a line of over MAX_LINE_BYTES."""
    at, number = len(BOM) if body.startswith(BOM) else 0, 1
    while at < len(body):
        text = body[at : at + MAX_LINE_BYTES]
        if at + MAX_LINE_BYTES < len(body):
            text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]
            if not text:
                place = f"line {number}"
                raise InvalidValue(f"{place} has over {MAX_LINE_BYTES:,} bytes, more than 784 pixels have.", place)
        at += len(text)
        if text.endswith(b"\r") and body[at : at + 1] == b"\n":
            at += 1
        lines = text.replace(b'"', b"").splitlines()
        yield lines
        number += len(lines)


def _without_blanks(lines: list[bytes]) -> list[bytes]:
    """The lines without blank ones at the end."""
    count = len(lines)
    while count and not lines[count - 1].strip():
        count -= 1
    return lines[:count]


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
    try:
        if any(b"_" in cell for cell in cells):
            raise ValueError
        pixels = np.array([float(cell) for cell in cells])  # numpy itself takes ten times as long to read bytes
    except ValueError:
        pixels = np.array([np.nan])
    if not ((pixels >= 0) & (pixels <= 255)).all():
        _reject(cells, number)
    return rounded(pixels, f"line {number}").tobytes()


def _reject(cells: list[bytes], number: int) -> None:
    for column, cell in enumerate(cells, 1):
        try:
            ok = b"_" not in cell and 0 <= float(cell) <= 255
        except ValueError:
            ok = False
        if not ok:
            shown = cell[:20].decode("utf-8", "replace")
            place = f"line {number}, column {column}"
            raise InvalidValue(f"{place} holds {shown!r}; a pixel is a number from 0 to 255.", place)
