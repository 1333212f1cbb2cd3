"""Long JSON is parsed in chunks, with the same result and the same error messages as in one call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadRequest
from service.inputs.json_chunks import PIECE_BYTES, PLACEHOLDER
from service.openinference import tensors
from service.openinference.document import parse
from service.openinference.request import Limits, read
from tests.support.v2 import document, tensor

LIMITS = Limits(digits=1000, pictures=10)
PIXELS = np.random.default_rng(3).integers(0, 256, (80, 784), np.uint8)  # about 220 kB of JSON
NUMBERS = PIXELS.ravel().tolist()


def pixels_of(body: bytes) -> Any:
    asked = asyncio.run(read(body, b"", ["probabilities"], LIMITS))
    return asked.pixels


def in_one_go(body: bytes) -> Any:
    """The digits of the body, parsed in one call."""
    try:
        one = orjson.loads(body)["inputs"][0]
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    return tensors.pixels_from_numbers(one["data"], one["shape"])


def outcome(how: Any, body: bytes) -> Any:
    try:
        return how(body).tobytes()
    except BadRequest as error:
        return str(error)


def with_data(text: str, before: str = "", behind: str = "") -> bytes:
    one = f'{{"name": "pixels", "data": [{text}], "shape": [80, 784], "datatype": "UINT8"}}'
    return f'{{{before}"inputs": [{one}]{behind}}}'.encode()


def was_cut(body: bytes) -> bool:
    found = parse(body)
    return bool(found.json["inputs"][0].get("data") == PLACEHOLDER)


@pytest.mark.parametrize("separator", [",", ", ", " ,\n\t ", ",\r\n"])
@pytest.mark.parametrize("kind", [int, float])
def test_long_lists_are_cut_out_and_come_back(separator: str, kind: type) -> None:
    body = with_data(separator.join(str(kind(n)) for n in NUMBERS))
    assert was_cut(body)
    assert np.array_equal(pixels_of(body).reshape(80, 784), PIXELS)


@pytest.mark.parametrize("order", [("data", "shape"), ("shape", "data")])
def test_the_order_of_keys_does_not_matter(order: tuple[str, str]) -> None:
    one = tensor(PIXELS)
    body = document({key: one[key] for key in (*order, "name", "datatype")}, id="7")
    assert was_cut(body)
    assert np.array_equal(pixels_of(body).reshape(80, 784), PIXELS)


INSTEAD = [
    *("256", "-1", "1.5", "7.0", "7e0", "true", "null", '"7"', "[7]", "{}", "", " ", "01", "1 2", "NaN", "+1", "0x1"),
    *("]", "1]", "}", '"', '"data": [1', "\\", "/* */", "1,", ",1", "1e999", "9" * 400, "é", "'1'", "-", "1]], [[1"),
]


@pytest.mark.slow
@given(st.integers(0, len(NUMBERS) - 1), st.sampled_from(INSTEAD))
@example(len(NUMBERS) - 1, "1,")
@example(len(NUMBERS) - 1, "")
@example(0, "[7]")
def test_whatever_stands_in_the_place_of_a_number(place: int, text: str) -> None:
    texts = [str(n) for n in NUMBERS]
    texts[place] = text
    body = with_data(",".join(texts))
    assert outcome(pixels_of, body) == outcome(in_one_go, body)


@given(st.integers(PIECE_BYTES, 3 * PIECE_BYTES))
def test_a_comma_too_many_wherever_the_pieces_end(size: int) -> None:
    """A list that ends with a comma exactly at the end of a chunk must not be accepted."""
    text = "1," * (size // 2)
    body = with_data(text)
    assert outcome(pixels_of, body) == outcome(in_one_go, body)
    assert "not JSON" in outcome(pixels_of, body)


LIST = "[" + ",".join(str(n) for n in NUMBERS) + "]"


@pytest.mark.parametrize(
    "decoy",
    [
        f'"parameters": {{"data": {LIST}}}, ',
        f'"data": {LIST}, ',
        rf'"parameters": {{"a\"data": {LIST}}}, ',
        r'"id": "\"data\": [1, 2]", ',
        '"id": "data", ',
        '"parameters": {"data": [1, 2]}, ',
        '"parameters": {"data": "[1, 2]"}, ',
        '"parameters": {"data": {"data": 1}}, ',
    ],
)
def test_a_decoy_before_the_data(decoy: str) -> None:
    body = with_data(LIST[1:-1], before=decoy)
    assert json.loads(body)
    assert np.array_equal(pixels_of(body).reshape(80, 784), PIXELS)


def test_a_decoy_that_is_no_json() -> None:
    """A long list that is not the data of a tensor must be valid JSON too."""
    with pytest.raises(BadRequest, match="not JSON"):
        pixels_of(with_data(LIST[1:-1], before=f'"parameters": {{"data": [1,,{LIST[1:]}}}, '))


@pytest.mark.parametrize("behind", [', "id": "x"', ', "outputs": []', ', "parameters": {"data": [1]}', "\n"])
def test_something_behind_the_data(behind: str) -> None:
    assert np.array_equal(pixels_of(with_data(LIST[1:-1], behind=behind)).reshape(80, 784), PIXELS)


@pytest.mark.parametrize("end", ["", "}", "]", "]}}", "]}]}]", "]}]} {}", "]}]}x"])
def test_a_wrong_end(end: str) -> None:
    body = b'{"inputs": [{"name": "pixels", "shape": [80, 784], "datatype": "UINT8", "data": [' + LIST[1:-1].encode()
    with pytest.raises(BadRequest, match="not JSON"):
        pixels_of(body + end.encode())


NESTED = [[80, 784], [80, 28, 28], [80, 28, 28, 1]]


def nested(shape: list[int], pixels: Any = PIXELS) -> bytes:
    return document(tensor(PIXELS, shape=shape, data=np.reshape(pixels, shape).tolist()), id="x")


@pytest.mark.parametrize("shape", NESTED)
def test_long_nested_lists_are_read_too(shape: list[int]) -> None:
    assert was_cut(nested(shape))
    assert np.array_equal(pixels_of(nested(shape)).reshape(80, 784), PIXELS)


@pytest.mark.slow
@given(st.integers(0, len(NUMBERS) - 1), st.sampled_from(INSTEAD), st.sampled_from(NESTED))
@example(len(NUMBERS) - 1, "1]]], [[[1", [80, 28, 28, 1])
@example(0, "1]], [[1", [80, 28, 28])
def test_whatever_stands_in_the_place_of_a_nested_number(place: int, text: str, shape: list[int]) -> None:
    pixels = PIXELS.astype(int).ravel()
    pixels[place] = 7777
    body = nested(shape, pixels).replace(b"7777", text.encode())
    found = outcome(pixels_of, body)
    if len(shape) < 4 or "tiny lists" not in str(found):  # of so many lists no more is said once they cannot be cut
        assert found == outcome(in_one_go, body)


@pytest.mark.parametrize("shape", [[79, 28, 28], [81, 28, 28], [80, 28, 27], [80, 784], [80, 28, 28, 1], [80 * 28, 28]])
def test_nested_data_that_are_not_of_the_shape(shape: list[int]) -> None:
    one = tensor(PIXELS, shape=shape, data=PIXELS.reshape(80, 28, 28).tolist())
    assert outcome(pixels_of, document(one)).startswith(
        ("The data of pixels are not nested", "pixels has 62720", "The sh")
    )


@pytest.mark.parametrize("body", [document(tensor(PIXELS)), *map(nested, NESTED)], ids=["flat", *map(str, NESTED)])
def test_other_requests_pass_between_two_pieces(body: bytes) -> None:

    async def turns() -> int:
        task, count = asyncio.ensure_future(read(body, b"", ["probabilities"], LIMITS)), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        await task
        return count

    assert asyncio.run(turns()) >= len(body) // PIECE_BYTES
