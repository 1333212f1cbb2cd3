"""The table that some test runs end with: rows that the tests begin and fill, as lines of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Row = TypeVar("Row")


def begins(rows: list[Row], kind: Callable[[str], Row]) -> Callable[[str], Row]:
    """A function that begins a row, by what was done; what a test writes into it is shown even if the test fails."""

    def begin(what: str) -> Row:
        found = kind(what)
        rows.append(found)
        return found

    return begin


def aligned(cells: list[list[str]]) -> list[str]:
    """Lines of text. The first line of cells is the head; the first column is text, the others are numbers."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]
    return ["", lines[0], "-" * len(lines[0]), *lines[1:], ""]
