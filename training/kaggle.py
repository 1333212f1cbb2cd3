"""Kaggle's CSV files (label, pixel0 … pixel783) to digits and back to a submission.

A cell that is not a whole number 0 to 255 is refused with its file, row and column; rows count digits, from 1.
"""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.digits import Digits, check_labels
from training.errors import DataError

PIXELS = [f"pixel{i}" for i in range(784)]


def read(file: Path) -> Digits:
    """The digits of a CSV file, with labels where it has them. Raises DataError naming file, row and column."""
    table = _table(file)
    labelled = "label" in table.columns
    _check_columns(list(table.columns), file)
    if len(table) == 0:
        raise DataError(f"{file}: a header but no rows; expected at least one digit.")
    numbers = _numbers(table, file)
    labels = check_labels(numbers[:, 0], file) if labelled else None
    pixels = numbers[:, 1:] if labelled else numbers
    _check_range(pixels, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Digits(pixels.astype(np.uint8).reshape(-1, 28, 28), labels, {file.name: sha256})


def _table(file: Path) -> pd.DataFrame:
    """The file as pandas reads it, its columns in Kaggle's order, empty lines at the end left out."""
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty; expected a CSV file with the columns label, pixel0 … pixel783.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # index_col=False: otherwise 786 cells under 785 names would silently make the label an index.
            table = pd.read_csv(file, index_col=False, skip_blank_lines=False, low_memory=False)
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
        ValueError,
    ) as error:
        raise DataError(
            f"{file}: cannot be read as CSV ({str(error).strip()}). Expected 785 cells in every row."
        ) from error
    table.columns = [str(name).strip() for name in table.columns]
    empty = table.isna().all(axis=1)
    return table[: len(table) - int(empty[::-1].cumprod().sum())]


def _check_columns(columns: list[str], file: Path) -> None:
    """Exactly Kaggle's columns, or a sentence that names the first difference."""
    expected = (["label"] if "label" in columns else []) + PIXELS
    if columns == expected:
        return
    missing = [name for name in expected if name not in columns]
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


def _numbers(table: pd.DataFrame, file: Path) -> NDArray[np.int64]:
    """All cells as int64 (n, columns). A column that pandas did not read as integers is searched for the culprit."""
    for name in table.columns[[dtype.kind not in "iu" for dtype in table.dtypes]]:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = ~(np.isfinite(values) & (values == np.floor(values)))
        if wrong.any():
            row = int(np.argmax(wrong))
            cell = table[name].iloc[row]
            found = "is empty" if pd.isna(cell) else f"is '{cell}'"
            expected = "a digit 0 to 9" if name == "label" else "a whole number 0 to 255"
            raise DataError(f"{file}, row {row + 1}: {name} {found}; expected {expected}.")
        table = table.assign(**{name: np.clip(values, -1e9, 1e9).astype(np.int64)})
    return table.to_numpy(np.int64)


def _check_range(pixels: NDArray[np.int64], file: Path) -> None:
    wrong = (pixels < 0) | (pixels > 255)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{file}, row {row + 1}: pixel{column} is {pixels[row, column]}; expected a whole number 0 to 255."
        )
