"""Kaggle's CSV files: read exactly, and every wrong one refused with file, row and what was expected."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.files import PIXELS, csv_table
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError

Spoil = Callable[[list[str]], list[str]]


@pytest.fixture
def lines(handwriting: Digits) -> list[str]:
    """train.csv with 12 digits, line by line; line 0 is the header."""
    return csv_table(handwriting.pixels[:12], handwriting.labels[:12]).to_csv(index=False).splitlines()


def cell(row: int, column: int, value: str) -> Spoil:
    """Put a value into a cell; row 1 is the first digit, column 0 the label, column 1 pixel0."""

    def spoil(lines: list[str]) -> list[str]:
        cells = lines[row].split(",")
        cells[column] = value
        return [*lines[:row], ",".join(cells), *lines[row + 1 :]]

    return spoil


def without_column(name: str) -> Spoil:
    def spoil(lines: list[str]) -> list[str]:
        place = lines[0].split(",").index(name)
        return [",".join(line.split(",")[:place] + line.split(",")[place + 1 :]) for line in lines]

    return spoil


REFUSED = {
    "a missing column": (
        without_column("pixel300"),
        "row 0 (the header): the column pixel300 is missing (783 pixel columns found)",
    ),
    "783 pixels": (
        without_column("pixel783"),
        "row 0 (the header): the column pixel783 is missing (783 pixel columns found)",
    ),
    "785 pixels": (
        lambda rows: [row + (",pixel784" if i == 0 else ",0") for i, row in enumerate(rows)],
        "the column 'pixel784' is unknown",
    ),
    "no header": (lambda rows: rows[1:], "row 0 (the header): the column pixel0 is missing"),
    "columns in another order": (
        lambda rows: [rows[0].replace("pixel1,pixel2,", "pixel2,pixel1,"), *rows[1:]],
        "columns are in another order",
    ),
    "256": (cell(3, 5, "256"), "row 3: pixel4 is 256; expected a whole number 0 to 255"),
    "-1": (cell(12, 784, "-1"), "row 12: pixel783 is -1; expected a whole number 0 to 255"),
    "text": (cell(5, 1, "black"), "row 5: pixel0 is 'black'; expected a whole number 0 to 255"),
    "a fraction": (cell(5, 7, "12.5"), "row 5: pixel6 is '12.5'; expected a whole number 0 to 255"),
    "infinity": (cell(5, 7, "inf"), "row 5: pixel6 is 'inf'; expected a whole number 0 to 255"),
    "1e400": (cell(5, 7, "1e400"), "row 5: pixel6 is '1e400'; expected a whole number 0 to 255"),
    "a number beyond int64": (
        cell(5, 7, "99999999999999999999999"),
        "row 5: pixel6 is 99999999999999999999999; expected a whole number 0 to 255",
    ),
    "a number beyond int64 within uint64": (
        cell(5, 7, "18446744073709551615"),
        "row 5: pixel6 is 18446744073709551615; expected a whole number 0 to 255",
    ),
    "a label beyond int64": (cell(5, 0, "-99999999999999999999999"), "the label is -99999999999999999999999; expected"),
    "nan": (cell(5, 7, "nan"), "row 5: pixel6 is 'nan'; expected a whole number 0 to 255"),
    "NA": (cell(2, 0, "NA"), "row 2: the label is 'NA'; expected a digit 0 to 9"),
    "a long text": (cell(5, 7, "x" * 50), f"row 5: pixel6 is '{'x' * 40}…'; expected a whole number"),
    "nothing but True": (lambda rows: cell(1, 7, "True")(rows[:2]), "row 1: pixel6 is 'True'; expected a whole number"),
    "true": (cell(5, 7, "True"), "row 5: pixel6 is 'True'; expected a whole number 0 to 255"),
    "an empty cell": (cell(4, 9, ""), "row 4: pixel8 is empty; expected a whole number 0 to 255"),
    "label 10": (cell(2, 0, "10"), "row 2: the label is 10; expected a digit 0 to 9"),
    "label -1": (cell(2, 0, "-1"), "row 2: the label is -1; expected a digit 0 to 9"),
    "label seven": (cell(2, 0, "seven"), "row 2: the label is 'seven'; expected a digit 0 to 9"),
    "label 3.5": (cell(2, 0, "3.5"), "row 2: the label is '3.5'; expected a digit 0 to 9"),
    "no label": (cell(2, 0, ""), "row 2: the label is empty; expected a digit 0 to 9"),
    "a row too long": (lambda rows: [*rows[:6], rows[6] + ",0", *rows[7:]], "row 6: 786 cells; expected 785"),
    "every row too long": (
        lambda rows: [rows[0], *(row + ",0" for row in rows[1:])],
        "row 1: 786 cells; expected 785",
    ),
    "the first row too long": (lambda rows: [rows[0], rows[1] + ",0", *rows[2:]], "row 1: 786 cells; expected 785"),
    "a row too long after an empty line": (
        lambda rows: [*rows[:3], "", *rows[3:6], rows[6] + ",0,0", *rows[7:]],
        "row 7: 787 cells; expected 785",
    ),
    "a row too long under a wrong header": (
        lambda rows: [rows[0].replace("pixel9,", "pixel_9,"), rows[1], rows[2] + ",0"],
        "row 0 (the header): the column pixel9 is missing",
    ),
    "no label in train.csv": (
        without_column("label"),
        "row 0 (the header): the column label is missing (784 pixel columns found); expected label (train.csv only)",
    ),
    "a row too short": (lambda rows: [*rows[:6], rows[6].rsplit(",", 1)[0], *rows[7:]], "row 6: pixel783 is empty"),
    "an empty line": (lambda rows: [*rows[:6], "", *rows[6:]], "row 6: the label is empty"),
    "a header alone": (lambda rows: rows[:1], "a header but no rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, lines: list[str], tmp_path: Path) -> None:
    spoil, sentence = REFUSED[name]
    file = tmp_path / "train.csv"
    file.write_text("\n".join(spoil(lines)) + "\n")
    with pytest.raises(DataError) as refused:
        loader.load(tmp_path)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(str(file))
    assert "xpected" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty; expected a CSV"), (b"\n\n", "cannot be read"), (b"\x89PNG\x00\xff", "cannot be read")],
)
def test_refused_whole(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        loader.load(tmp_path)


def test_read_exactly(lines: list[str], handwriting: Digits, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("\n".join(lines))
    read = loader.load(tmp_path)
    np.testing.assert_array_equal(read.pixels, handwriting.pixels[:12])
    np.testing.assert_array_equal(read.labels, handwriting.labels[:12])
    assert (read.pixels.dtype, read.pixels.shape, read.labels.dtype) == (np.uint8, (12, 28, 28), np.uint8)
    assert list(read.files) == ["train.csv"]


def test_whole_numbers_written_as_floats_windows_lines_and_empty_last_lines_are_read(
    lines: list[str], handwriting: Digits, tmp_path: Path
) -> None:
    lines = cell(3, 5, "255.0")(lines)
    (tmp_path / "mine.csv").write_bytes(("\r\n".join(lines) + "\r\n\r\n\r\n").encode())
    read = loader.load(tmp_path / "mine.csv")
    assert len(read) == 12
    assert read.pixels[2].ravel()[4] == 255


def test_a_lone_file_needs_no_labels(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("\n".join(without_column("label")(lines)))
    assert loader.load(tmp_path / "mine.csv").labels is None


def test_kaggles_test_file_has_no_labels(kaggle: Path, handwriting: Digits) -> None:
    read = loader.load(kaggle, "test")
    assert read.labels is None
    np.testing.assert_array_equal(read.pixels, handwriting.pixels[-297:])
    assert loader.parts(kaggle) == ["train", "test"]
    assert not loader.has_labelled_test(kaggle)


def test_the_columns_are_kaggles(lines: list[str]) -> None:
    """The writer of these tests against the published format: label, pixel0 … pixel783, 785 in all."""
    assert lines[0] == ",".join(["label", *PIXELS])
    assert lines[0].count(",") == 784
