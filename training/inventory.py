"""What is in a data set: how many digits of each kind, from which files. The answer of `python -m training data`."""

from pathlib import Path

import numpy as np
from rich.table import Table

from training import data
from training.digits import Digits


def table(source: Path) -> Table:
    """Read and check everything in the data set, and count it. Raises DataError for the first thing that is wrong."""
    parts = {part: data.load(source, part) for part in data.parts(source)}
    shown = Table(title=f"{source}: every file checked", title_justify="left", caption_justify="left")
    for heading in ("digit", *parts):
        shown.add_column(heading, justify="right")
    counts = [_counts(digits) for digits in parts.values()]
    for digit in range(10):
        shown.add_row(str(digit), *(count[digit] for count in counts), end_section=digit == 9)
    shown.add_row("all", *(f"{len(digits):,}" for digits in parts.values()))
    files = {name: sha for digits in parts.values() for name, sha in digits.files.items()}
    shown.caption = "\n".join(f"{name}\n  SHA-256 {sha}" for name, sha in files.items())
    return shown


def _counts(digits: Digits) -> list[str]:
    if digits.labels is None:
        return ["no label"] * 10
    return [f"{count:,}" for count in np.bincount(digits.labels, minlength=10)]
