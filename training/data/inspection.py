"""Checks a data set and counts its digits, for `python -m training data`."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from training.data import loader
from training.data.digits import Digits


def show(source: Path, console: Console) -> None:
    """Read and check every file of the data set, then print the counts. Raises DataError for the first problem.

    The hashes are printed as `sha256sum` prints them, one per line: a table column would break them.
    """
    parts = {part: loader.load(source, part) for part in loader.parts(source)}
    console.print(f"{source}: every file checked", highlight=False, soft_wrap=True)
    console.print(table(parts))
    files = {name: sha256 for digits in parts.values() for name, sha256 in digits.files.items()}
    console.print("SHA-256, of the unzipped contents:", highlight=False)
    for name, sha256 in files.items():
        console.print(f"{sha256}  {name}", highlight=False, soft_wrap=True)


def table(parts: dict[str, Digits]) -> Table:
    """How often each digit occurs in each part, and the totals."""
    shown = Table()
    for heading in ("digit", *parts):
        shown.add_column(heading, justify="right")
    counts = [_counts(digits) for digits in parts.values()]
    for digit in range(10):
        shown.add_row(str(digit), *(count[digit] for count in counts), end_section=digit == 9)
    shown.add_row("all", *(f"{len(digits):,}" for digits in parts.values()))
    return shown


def _counts(digits: Digits) -> list[str]:
    if digits.labels is None:
        return ["no label"] * 10
    return [f"{count:,}" for count in np.bincount(digits.labels, minlength=10)]
