"""CSV -> digits: Kaggle's rows in every writing of a line, and each wrong cell named by line and column."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.digits import Pixels
from service.errors import DigitsError, InvalidValue, PayloadTooLarge
from service.inputs.csv import from_csv
from tests.support.bodies import as_csv

LIMIT = 1000
PIXELS = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)


def read(body: bytes, limit: int = LIMIT) -> Pixels:
    pieces = list(from_csv(body, limit))
    assert all(piece.dtype == np.uint8 and piece.shape[1:] == (28, 28) for piece in pieces)
    return np.concatenate(pieces)


def wrong(body: bytes) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        read(body)
    return caught.value


@pytest.mark.parametrize("header", [False, True], ids=["bare", "names"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("count", [1, 2, 16, 17, 50])
def test_rows(header: bool, end: str, count: int) -> None:
    body = as_csv(PIXELS[:count], header, end)
    assert np.array_equal(read(body), PIXELS[:count])
    assert np.array_equal(read(body.removesuffix(end.encode())), PIXELS[:count])


def test_a_header_as_pandas_and_r_write_it() -> None:
    names = [f"pixel{i}" for i in range(784)]
    for header in (
        ",".join(names),
        ",".join(f'"{name}"' for name in names),
        ",".join(names).upper(),
        "\ufeff" + ",".join(names),
    ):
        assert np.array_equal(read(header.encode() + b"\n" + as_csv(PIXELS)), PIXELS)


def test_what_spreadsheets_add() -> None:
    text = as_csv(PIXELS).decode()
    quoted = "".join(f'"{line}"\n'.replace(",", '","') for line in text.splitlines())
    for written in ("\ufeff" + text, text + "\n\n", text + " \r\n", quoted):
        assert np.array_equal(read(written.encode()), PIXELS)


def test_spaces_floats_and_exponents() -> None:
    text = as_csv(PIXELS).decode()
    assert np.array_equal(read(text.replace(",", ", ").encode()), PIXELS)
    assert np.array_equal(read(as_csv(PIXELS.astype(float))), PIXELS)
    assert np.array_equal(read(text.replace(",10,", ",1e1,").encode()), PIXELS)
    assert read(b"12.5" + b",200.4" * 783)[0, 0, 0] == 12


def test_zeros_and_ones_are_pixels_but_shares_are_not() -> None:
    assert np.array_equal(read(as_csv(np.eye(28)[None])), np.eye(28)[None])
    error = wrong(as_csv(np.stack([PIXELS[0].astype(float), np.eye(28) / 2])))
    assert error.field == "line 2"
    assert "divided by 255" in str(error)


@pytest.mark.parametrize("line", [1, 16, 17, 50])
@pytest.mark.parametrize("column", [1, 784])
@pytest.mark.parametrize("text", ["256", "-1", "x", "", "nan"])
@pytest.mark.parametrize("header", [False, True], ids=["bare", "names"])
def test_a_wrong_cell_is_named(line: int, column: int, text: str, header: bool) -> None:
    lines = as_csv(PIXELS, header).decode().splitlines()
    at = line - 1 + header
    cells = lines[at].split(",")
    cells[column - 1] = text
    lines[at] = ",".join(cells)
    error = wrong("\n".join(lines).encode())
    assert error.field == f"line {line + header}, column {column}"
    assert str(error).startswith(error.field)


@pytest.mark.parametrize("line", [1, 17, 50])
@pytest.mark.parametrize("columns", [1, 783, 785, 1568])
def test_a_wrong_number_of_columns_is_named(line: int, columns: int) -> None:
    lines = as_csv(PIXELS).decode().splitlines()
    lines[line - 1] = ",".join(["0"] * columns)
    error = wrong("\n".join(lines).encode())
    assert error.field == f"line {line}"
    assert str(columns) in str(error)
    assert "784" in str(error)


def test_one_row_too_many() -> None:
    assert len(read(as_csv(PIXELS, header=True), limit=50)) == 50
    with pytest.raises(PayloadTooLarge, match="50 digits"):
        read(as_csv(PIXELS, header=True), limit=49)


@pytest.mark.parametrize(
    "body", [b"\n" * 500_000, b"11\n" * 170_000, b"pixel0\n" + b"," * 500_000], ids=["lines", "rows", "cells"]
)
def test_a_body_of_tiny_values_is_rejected_in_little_memory(body: bytes) -> None:
    """Half a megabyte that would become as many Python objects: 64 MB of them, the limit, would be a gigabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(DigitsError):
            read(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("blanks", range(15))
def test_lines_are_whole_wherever_a_window_ends(end: str, blanks: int) -> None:
    digits = np.tile(PIXELS, (3, 1, 1))
    assert np.array_equal(read(b" " * blanks + as_csv(digits, end=end)), digits)


def test_windows_of_blank_lines() -> None:
    text = as_csv(PIXELS[:1])
    assert np.array_equal(read(text + b" " * 50_000 + b"\n" + b" " * 50_000), PIXELS[:1])
    assert wrong(text + b" " * 50_000 + b"\n" + b"\n" * 3 + b" " * 50_000 + b"\n" + text).field == "line 2"
    assert wrong(b" " * 50_000 + b"\n" + b" " * 50_000).field == "row 1"


@pytest.mark.parametrize(
    "line", [b"," * 70_000, b"0," * 70_000, b"pixel0" + b"," * 70_000, b'"' * 70_000, b"9" * 70_000]
)
@pytest.mark.parametrize("before", [0, 50])
def test_a_line_longer_than_any_row_is_not_split(line: bytes, before: int) -> None:
    error = wrong(as_csv(PIXELS)[: before and 10**9] + line + b"\n" + as_csv(PIXELS[:1]))
    assert error.field == f"line {before + 1}"
    assert "65,536 bytes" in str(error)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    for body in (data, b"pixel0\n" + data, b"0," * 783 + data + b"x"):
        with pytest.raises(DigitsError) as caught:
            read(body)
        assert str(caught.value).endswith(".")
