"""Reads Kaggle's CSV files, train.csv and test.csv: one digit per row, in the columns label, pixel0 … pixel783.

A cell that is not a whole number 0 to 255 is rejected with its file, row and column. Rows count digits, from 1; the
header is row 0.
"""

import csv
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.data.digits import Digits
from training.errors import DataError

PIXELS = [f"pixel{i}" for i in range(784)]
NOT_A_NUMBER = -1  # marks a cell that is not a whole number, until _check_range rejects it


def read(file: Path, must_be_labelled: bool = False) -> Digits:
    """The digits of a CSV file, with labels where it has them. Raises DataError naming file, row and column."""
    table = _table(file, must_be_labelled)
    columns = list(table.columns)
    _check_columns(columns, file, must_be_labelled)
    if len(table) == 0:
        raise DataError(f"{file}: a header but no rows; expected at least one digit.")
    numbers = np.stack([_whole_numbers(table[name]) for name in columns], axis=1)
    _check_range(numbers, columns, file)
    labels = numbers[:, 0].astype(np.uint8) if "label" in columns else None
    # Row-major: pixel0 to pixel27 are the top row, so pixel i is in row i // 28 and column i % 28.
    pixels = numbers[:, -len(PIXELS) :].astype(np.uint8).reshape(-1, 28, 28)
    return Digits(pixels, labels, {file.name: hashlib.sha256(file.read_bytes()).hexdigest()})


def _table(file: Path, must_be_labelled: bool) -> pd.DataFrame:
    """The file as pandas reads it, without the empty lines at its end."""
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty; expected a CSV file with the columns label, pixel0 … pixel783.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # index_col=False: with 786 cells in a row of 785 columns, pandas would silently make the label an index.
            table = pd.read_csv(file, index_col=False, skip_blank_lines=False, low_memory=False)
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
        ValueError,
    ) as error:
        _reject_long_row(file, must_be_labelled)
        raise DataError(
            f"{file}: cannot be read as CSV ({str(error).strip()}). Expected 785 cells in every row."
        ) from error
    table.columns = [str(name).strip() for name in table.columns]
    empty = table.isna().all(axis=1)
    return table[: len(table) - int(empty[::-1].cumprod().sum())]


def _check_columns(columns: list[str], file: Path, must_be_labelled: bool) -> None:
    """Raise DataError naming the first difference from Kaggle's columns, if there is one."""
    expected = (["label"] if must_be_labelled or "label" in columns else []) + PIXELS
    if columns == expected:
        return
    missing = [name for name in [*PIXELS, *expected[:1]] if name not in columns]
    extra = [name for name in columns if name not in expected]
    found = f"{sum(name in PIXELS for name in columns)} pixel columns"
    problem = (
        f"the column {missing[0]} is missing"
        if missing
        else f"the column '{extra[0]}' is unknown"
        if extra
        else "the columns are in another order"
    )
    raise DataError(
        f"{file}, row 0 (the header): {problem} ({found} found); "
        "expected label (train.csv only), then pixel0 to pixel783."
    )


def _reject_long_row(file: Path, must_be_labelled: bool) -> None:
    """Raise DataError naming the first row with more cells than the header, if there is one.

    pandas rejects such a file too, but its message counts lines of the file, not digits.
    """
    rows = _rows(file)
    header = next(rows, [])
    for number, cells in enumerate(rows, start=1):
        if len(cells) > len(header):
            _check_columns([name.strip() for name in header], file, must_be_labelled)
            raise DataError(f"{file}, row {number}: {len(cells)} cells; expected {len(header)}.")


def _rows(file: Path) -> Iterator[list[str]]:
    """The cells as text, row by row, the header first; stops where the file is not valid CSV."""
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream, suppress(csv.Error):
        yield from csv.reader(stream)


def _whole_numbers(column: pd.Series) -> NDArray[np.int64]:
    """A column as int64 (n,), with NOT_A_NUMBER where a cell is not a whole number."""
    if column.dtype.kind in "iu":
        numbers: NDArray[np.int64] = column.to_numpy(np.int64)
        return numbers  # a uint64 beyond int64 becomes negative, so it is rejected as well
    if column.dtype.kind == "b":
        return np.full(len(column), NOT_A_NUMBER)
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    whole = (np.abs(values) < 2**53) & (values == np.floor(values))
    return np.where(whole, values, NOT_A_NUMBER).astype(np.int64)


def _check_range(numbers: NDArray[np.int64], columns: list[str], file: Path) -> None:
    """Raise DataError naming the first cell that is not a digit 0 to 9 or a pixel 0 to 255, as the file spells it."""
    wrong = (numbers < 0) | (numbers > np.where(np.array(columns) == "label", 9, 255))
    if not wrong.any():
        return
    row, column = map(int, np.unravel_index(wrong.argmax(), wrong.shape))
    cells = next(islice(_rows(file), row + 1, None), [])
    name, expected = columns[column], "a whole number 0 to 255"
    if name == "label":
        name, expected = "the label", "a digit 0 to 9"
    found = _quoted(cells[column].strip() if column < len(cells) else "")
    raise DataError(f"{file}, row {row + 1}: {name} {found}; expected {expected}.")


def _quoted(cell: str) -> str:
    shown = cell if len(cell) <= 40 else f"{cell[:40]}…"
    return "is empty" if not cell else f"is {shown}" if cell.lstrip("+-").isdecimal() else f"is '{shown}'"
