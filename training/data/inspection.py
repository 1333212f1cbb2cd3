"""What is in a data set: how many digits of each kind, from which files. The answer of `python -m training data`."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from training.data import loader
from training.data.digits import Digits


def show(source: Path, console: Console) -> None:
    """Read and check everything in the data set, and count it. Raises DataError for the first thing that is wrong.

    The files come line by line as `sha256sum` prints them: in a table as narrow as this a hash would not stay whole.
    """
    parts = {part: loader.load(source, part) for part in loader.parts(source)}
    console.print(f"{source}: every file checked", highlight=False, soft_wrap=True)
    console.print(table(parts))
    files = {name: sha256 for digits in parts.values() for name, sha256 in digits.files.items()}
    console.print("SHA-256, of the unzipped contents:", highlight=False)
    for name, sha256 in files.items():
        console.print(f"{sha256}  {name}", highlight=False, soft_wrap=True)


def table(parts: dict[str, Digits]) -> Table:
    """How many there are of each digit, and in all."""
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
