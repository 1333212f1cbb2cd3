"""Tensors of the Open Inference Protocol: every form gives the same digits, or the same error."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest, PayloadTooLarge
from service.openinference import tensors
from tests.support.v2 import elements

SHAPES = [[28, 28, 1], [28, 28], [784]]
PIXELS = np.random.default_rng(5).integers(0, 256, (3, 28, 28), np.uint8)


def nested(shape: list[int]) -> Any:
    return PIXELS.reshape(shape).tolist()


# -- pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", SHAPES)
def test_flat_and_nested_and_bytes_are_the_same_pixels(rest: list[int]) -> None:
    shape = [3, *rest]
    assert tensors.check_pixels_shape(shape, 3) == shape
    flat = PIXELS.ravel().tolist()
    for plain in (True, False):
        for data in (flat, nested(shape), [float(pixel) for pixel in flat]):
            assert np.array_equal(tensors.pixels_from_numbers(data, shape, plain), PIXELS)
    assert np.array_equal(tensors.pixels_from_bytes(PIXELS.tobytes(), shape), PIXELS)


def test_bytes_are_not_copied() -> None:
    body = b"JSON" + PIXELS.tobytes()
    pixels = tensors.pixels_from_bytes(memoryview(body)[4:], [3, 784])
    assert np.shares_memory(pixels, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize(
    "shape",
    [
        None,
        5,
        "784",
        [],
        {},
        [784],
        [28, 28],
        [28, 28, 1],
        [1, 1, 28, 28],
        [1, 28, 28, 3],
        [1, 28, 28, 1, 1],
        [1, 783],
        [0, 784],
        [-1, 784],
        [1.0, 784],
        [True, 784],
        ["1", 784],
        [None, 784],
        [[1], 784],
        [1, -28, -28, 1],
        [2**60, 28, 28, 16],
        [1] * 5000,
    ],
)
def test_a_wrong_shape_of_pixels_is_rejected(shape: Any) -> None:
    with pytest.raises(BadRequest, match="shape of pixels") as caught:
        tensors.check_pixels_shape(shape, 10)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("count", [11, 10**18, 10**30])
def test_more_digits_than_allowed_are_too_much(count: int) -> None:
    assert tensors.check_pixels_shape([10, 784], 10) == [10, 784]
    with pytest.raises(PayloadTooLarge, match="at most 10"):
        tensors.check_pixels_shape([count, 784], 10)


@pytest.mark.parametrize("size", [0, 783, 785, 3 * 784 - 1, 3 * 784 + 1])
def test_bytes_that_do_not_fill_the_shape_are_rejected(size: int) -> None:
    with pytest.raises(BadRequest, match=f"{size} bytes.*2352"):
        tensors.pixels_from_bytes(bytes(size), [3, 784])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "0 numbers"),
        ([0] * 783, "783 numbers"),
        ([0] * 785, "785 numbers"),
        ([[0] * 784, [0]], "not nested"),
        ([[[0]]], "not nested"),
        ([[0] * 784, 5], "not nested"),
        ([[[0] * 28] * 28], "not nested"),  # nested, but the shape is [1, 784]
        ([[[0]] * 784], r"data\[0\] of pixels is a list"),
        ([5, [0]], "2 numbers"),
        ([0, [0] * 783], "2 numbers"),
        ("0" * 784, "must be a list"),
        (5, "must be a list"),
        (None, "must be a list"),
        ({}, "must be a list"),
    ],
)
def test_data_that_do_not_fill_the_shape_are_rejected(data: Any, says: str) -> None:
    for plain in (True, False):
        with pytest.raises(BadRequest, match=says):
            tensors.pixels_from_numbers(data, [1, 784], plain)


@pytest.mark.parametrize("place", [0, 400, 783])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (256, "256"),
        (-1, "-1"),
        (2**63, "whole numbers"),
        (1e300, "whole numbers"),
        (-0.5, "-0.5"),
        (1.5, "1.5"),
        (0.5, "not divided by 255"),
        (255.5, "255.5"),
        ("7", "text"),
        (None, "null"),
        (True, "true or false"),
        (False, "true or false"),
        ({}, "an object"),
        ([7], "a list"),
    ],
)
def test_a_value_that_is_no_pixel_is_named_with_its_place(value: Any, says: str, place: int) -> None:
    if place == 0 and isinstance(value, list):
        return  # that is the beginning of nested data
    data = [0] * 784
    data[place] = value
    with pytest.raises(BadRequest, match=rf"data\[{place}\] of pixels") as caught:
        tensors.pixels_from_numbers(data, [1, 784])
    assert says in str(caught.value)


@given(st.lists(st.one_of(st.integers(-2, 258), st.floats(-2, 258), st.booleans(), st.none()), min_size=1, max_size=6))
def test_packing_takes_whole_numbers_and_nothing_else(numbers: list[Any]) -> None:
    good = [type(n) in (int, float) and 0 <= n <= 255 and n == int(n) for n in numbers]
    if all(good):
        assert tensors.pack(numbers) == bytes(int(n) for n in numbers)
    else:
        with pytest.raises(BadRequest, match=rf"data\[{100 + good.index(False)}\]"):
            tensors.pack(numbers, first=100)


def test_only_one_datatype_each() -> None:
    tensors.check_datatype("pixels", "UINT8")
    tensors.check_datatype("image", "BYTES")
    for name, wanted, datatype in [
        ("pixels", "UINT8", "FP32"),
        ("pixels", "UINT8", "uint8"),
        ("pixels", "UINT8", "BYTES"),
        ("pixels", "UINT8", None),
        ("pixels", "UINT8", 8),
        ("pixels", "UINT8", ["UINT8"]),
        ("image", "BYTES", "UINT8"),
        ("image", "BYTES", "x" * 10_000),
    ]:
        with pytest.raises(BadRequest, match=f"{name}.*must be {wanted}") as caught:
            tensors.check_datatype(name, datatype)
        assert len(str(caught.value)) < 200


# -- pictures ---------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_pictures_come_out_as_they_went_in(files: list[bytes]) -> None:
    count, texts = len(files), [base64.b64encode(file).decode() for file in files]
    assert [bytes(file) for file in tensors.pictures_from_bytes(elements(*files), count)] == files
    assert tensors.pictures_from_text(texts, [count]) == files
    assert tensors.pictures_from_text([[text] for text in texts], [count, 1]) == files


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 1),
        (b"\0\0\0", 1),
        (b"\1\0\0\0", 1),
        (b"\xff\xff\xff\xff", 1),
        (b"\0\0\0\1" + bytes(1), 1),  # big-endian
        (elements(b"a"), 2),
        (elements(b"a", b"b"), 1),
        (elements(b"a") + b"\0", 1),
        (elements(b"a") + b"\0\0\0", 2),
    ],
)
def test_bytes_that_are_no_bytes_tensor_are_rejected(data: bytes, count: int) -> None:
    with pytest.raises(BadRequest, match="image"):
        tensors.pictures_from_bytes(data, count)


@pytest.mark.parametrize("text", ["YQ==", "YQ", "YQ=", "YQ==\n", " Y\r\n\tQ = = \f\v"])
def test_base64_may_have_broken_lines_and_no_padding(text: str) -> None:
    assert tensors.pictures_from_text([text], [1]) == [b"a"]


@given(st.binary(max_size=99), st.integers(1, 80), st.sampled_from(["\n", "\r\n", " "]), st.booleans())
def test_base64_in_lines_of_any_length(file: bytes, width: int, end: str, padded: bool) -> None:
    text = base64.b64encode(file).decode()
    text = text if padded else text.rstrip("=")
    text = end.join(text[i : i + width] for i in range(0, len(text), width)) + end
    assert tensors.pictures_from_text([text], [1]) == [file]


@pytest.mark.parametrize(
    "text", ["?", "Y", "YQ=Q", "Y=Q=", "=YQ", "YQ=====", "YQ\0==", "YQ\u2028==", "é", "-_", 5, None, True, ["YQ=="], {}]
)
def test_text_that_is_no_base64_is_rejected(text: Any) -> None:
    with pytest.raises(BadRequest, match="Element 1 of image is not base64"):
        tensors.pictures_from_text(["YQ==", text], [2])


@pytest.mark.parametrize("shape", [None, 3, [], [0], [-1], [1, 2], [1, 1, 1], ["1"], [1.5], [True]])
def test_a_wrong_shape_of_image_is_rejected(shape: Any) -> None:
    with pytest.raises(BadRequest, match="shape of image"):
        tensors.check_image_shape(shape, 10)


def test_more_pictures_than_allowed_are_too_much() -> None:
    assert tensors.check_image_shape([10, 1], 10) == [10, 1]
    with pytest.raises(PayloadTooLarge, match="11 pictures"):
        tensors.check_image_shape([11], 10)


@pytest.mark.parametrize(("data", "shape"), [(["YQ=="], [2]), (["YQ=="] * 2, [1]), ([["YQ=="]], [1]), ("YQ==", [1])])
def test_texts_that_do_not_fill_the_shape_are_rejected(data: Any, shape: list[int]) -> None:
    with pytest.raises(BadRequest, match="image"):
        tensors.pictures_from_text(data, shape)


# -- out --------------------------------------------------------------------------------------------------------


def test_classification_gives_the_highest_first_and_of_equals_the_first() -> None:
    values = np.array([[0.25, 0.5, 0.25], [1, 0, 0]], np.float32)
    labels = ["nought", "one", "two"]
    assert tensors.classification(values, 2, labels) == [
        ["0.500000:1:one", "0.250000:0:nought"],
        ["1.000000:0:nought", "0.000000:1:one"],
    ]
    assert tensors.classification(values, 9, []) == [
        ["0.500000:1", "0.250000:0", "0.250000:2"],
        ["1.000000:0", "0.000000:1", "0.000000:2"],
    ]


def test_classification_takes_whatever_lies_behind_the_first_axis_as_one_row() -> None:
    cells = np.arange(100, dtype=np.float32).reshape(1, 10, 10, 1)
    assert tensors.classification(cells, 2, []) == [["99.000000:99", "98.000000:98"]]


def test_of_many_equals_the_first_come_first() -> None:
    [found] = tensors.classification(np.zeros((1, 10, 10, 1), np.float32), 100, [])
    assert [text.split(":")[1] for text in found] == [str(i) for i in range(100)]


def test_a_bytes_tensor_counts_bytes_and_not_characters() -> None:
    assert tensors.as_bytes_tensor(["a", "", "é"]) == b"\1\0\0\0a\0\0\0\0\2\0\0\0\xc3\xa9"
