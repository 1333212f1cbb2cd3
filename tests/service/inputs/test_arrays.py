"""Raw bytes and .npy files -> digits: every dtype, order and shape that numpy writes; wrong headers are rejected."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.digits import Pixels
from service.errors import BadRequest, DigitsError, InvalidValue, PayloadTooLarge
from service.inputs.arrays import from_npy, from_octets
from tests.support.bodies import as_npy, npy_claiming, npy_header

LIMIT = 1000
PIXELS = np.random.default_rng(0).integers(0, 128, (200, 28, 28), np.uint8)


def npy(body: bytes, limit: int = LIMIT) -> Pixels:
    pieces = list(from_npy(body, limit))
    assert all(piece.dtype == np.uint8 and piece.shape[1:] == (28, 28) for piece in pieces)
    return np.concatenate(pieces)


def octets(body: bytes, limit: int = LIMIT) -> Pixels:
    return np.concatenate(list(from_octets(body, limit)))


@pytest.mark.parametrize("count", [1, 2, 64, 65, 1000])
def test_octets(count: int) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
    assert np.array_equal(octets(pixels.tobytes()), pixels)


def test_octets_at_the_limit() -> None:
    assert len(octets(bytes(784 * LIMIT))) == LIMIT
    with pytest.raises(PayloadTooLarge, match="1001 digits"):
        octets(bytes(784 * (LIMIT + 1)))


@pytest.mark.parametrize(
    "dtype",
    ["u1", "i1", "<u2", ">u2", "<i2", ">i4", "<u4", "<i8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g"],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_order(dtype: str, order: Any) -> None:
    assert np.array_equal(npy(as_npy(np.array(PIXELS, dtype, order=order))), PIXELS)


@pytest.mark.parametrize("shape", [(-1, 28, 28), (-1, 28, 28, 1), (-1, 784)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", [1, 2, 130])
def test_every_shape(shape: tuple[int, ...], order: Any, count: int) -> None:
    pixels = PIXELS[:count]
    assert np.array_equal(npy(as_npy(np.array(pixels.reshape(shape), order=order))), pixels)


@pytest.mark.parametrize("shape", [(28, 28), (784,)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_lone_digit(shape: tuple[int, ...], order: Any) -> None:
    assert np.array_equal(npy(as_npy(np.array(PIXELS[5].reshape(shape), order=order))), PIXELS[5:6])


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format(version: tuple[int, int]) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, PIXELS, version)
    assert np.array_equal(npy(stream.getvalue()), PIXELS)


def test_a_file_of_python_2() -> None:
    """Its numpy wrote whole numbers as 28L, and numpy still reads them."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (200L, 28L, 28L), }"
    try:
        found = npy(npy_header(header, PIXELS.tobytes()))
    except BadRequest:
        return  # refusing so old a file is no harm; failing over it would be
    assert np.array_equal(found, PIXELS)


def test_fractions_are_rounded() -> None:
    numbers = np.full((2, 28, 28), 200.25)
    numbers[1, 3, 5] = 12.5
    assert npy(as_npy(numbers))[1, 3, 5] == 12
    assert npy(as_npy(numbers))[0, 0, 0] == 200


def test_zeros_and_ones_are_pixels() -> None:
    assert np.array_equal(npy(as_npy(np.eye(28))), np.eye(28)[None])


@pytest.mark.parametrize("place", [0, 70, 199])
@pytest.mark.parametrize("value", [-1, 256, np.nan, np.inf, -np.inf, 255.5])
def test_one_wrong_number_among_many(place: int, value: float) -> None:
    numbers = PIXELS.astype(float)
    numbers[place, 3, 5] = value
    with pytest.raises(InvalidValue) as caught:
        npy(as_npy(numbers))
    assert caught.value.field


def test_an_array_divided_by_255_is_refused_wherever_its_ink_is() -> None:
    for place in (0, 70, 199):
        numbers = np.zeros((200, 28, 28))
        numbers[place, 3, 5] = 0.5
        with pytest.raises(InvalidValue, match="divided by 255"):
            npy(as_npy(numbers))


def test_one_divided_digit_among_raw_ones_is_refused() -> None:
    numbers = np.full((200, 28, 28), 200.0)
    numbers[170] /= 255
    with pytest.raises(InvalidValue, match=r"array\[170\] lies between 0 and 1, as if divided by 255"):
        npy(as_npy(numbers))


@pytest.mark.parametrize(
    "shape",
    ["(10**12, 28, 28)", "(1000000000000, 28, 28)", "(1000000000000, 784)", "(30000000, 784)", "(1000, 28, 28)"],
)
@pytest.mark.parametrize("dtype", ["'|u1'", "'<f8'", "'<U1000000'"])
def test_a_header_that_lies_allocates_nothing(shape: str, dtype: str) -> None:
    body = npy_claiming(shape, dtype, bytes(784))
    tracemalloc.start()
    try:
        with pytest.raises(DigitsError):
            npy(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_pickle_is_never_loaded() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("a pickle was loaded",)

    body = as_npy(np.array([Bomb()] * 784, object), allow_pickle=True)
    with pytest.raises((BadRequest, InvalidValue)):
        npy(body)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_refused_in_words(data: bytes) -> None:
    for body in (data, b"\x93NUMPY" + data, b"\x93NUMPY\x01\x00" + data, b"\x93NUMPY\x02\x00" + data):
        with pytest.raises(DigitsError):
            npy(body)


names = st.sampled_from(["'descr'", "'fortran_order'", "'shape'", "descr", "1", "()"])
values = st.sampled_from(
    [
        "'|u1'",
        "'<f8'",
        "True",
        "False",
        "None",
        "(28, 28)",
        "(784,)",
        "784",
        "()",
        "[]",
        "{}",
        "(",
        "'",
        "1L",
        "-1",
        "'O'",
        "#",
        "\\",
        "[('a', '|u1')]",
        "('|u1', 3)",
        "10**9",
        "1e9",
        "...",
        "\t",
        "\n",
        "  x",
    ]
)


@given(
    st.lists(st.tuples(names, values), max_size=5), st.sampled_from(["}", "", ", }", ")", "}}"]), st.binary(max_size=30)
)
def test_any_header_is_read_or_refused_in_words(items: list[tuple[str, str]], end: str, data: bytes) -> None:
    body = npy_header("{" + ", ".join(f"{name}: {value}" for name, value in items) + end, data)
    with pytest.raises(DigitsError):
        npy(body)


@given(st.integers(0, 160), st.binary(min_size=1, max_size=3))
def test_any_spoiled_file_is_read_or_refused_in_words(at: int, new: bytes) -> None:
    body = as_npy(PIXELS[:10])
    with suppress(DigitsError):
        npy(body[:at] + new + body[at + len(new) :])
