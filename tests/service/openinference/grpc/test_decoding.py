"""Large messages are counted first and decoded in parts, with the same result as in one call."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest
from service.openinference.grpc import converters
from service.openinference.grpc.decoding import MAX_FIELDS, PART_BYTES, SMALL_BYTES, UndecodedMessage
from service.openinference.grpc.messages import message
from service.openinference.request import Limits

KIND = message("ModelInferRequest")
LIMITS = Limits(digits=30_000, pictures=100)


def opened(data: bytes) -> tuple[Any, int]:
    """The decoded message, and the number of turns of the event loop meanwhile."""

    async def both() -> tuple[Any, int]:
        task, turns = asyncio.ensure_future(UndecodedMessage(KIND, data).open()), 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return await task, turns

    return asyncio.run(both())


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def part(number: int, *content: bytes) -> bytes:
    data = b"".join(content)
    return varint(number << 3 | 2) + varint(len(data)) + data


NAME, MODEL = part(1, b"pixels") + part(2, b"UINT8"), part(1, b"digits")
SHAPE = part(3, varint(1) + varint(784))


def typed(numbers: Any, kind: str = "uint_contents") -> Any:
    made = KIND(model_name="digits", id="x")
    one = made.inputs.add(name="pixels", datatype="UINT8", shape=[len(numbers) // 784, 784])
    getattr(one.contents, kind).extend(numbers)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 100, 3000])
def test_typed_pixels(count: int) -> None:
    numbers = np.random.default_rng(count).integers(0, 256, count * 784).tolist()
    made = typed(numbers)
    found, turns = opened(made.SerializeToString())
    assert found == made
    assert turns > 2 or count < 3000
    if count:
        read = asyncio.run(converters.read(found, ["probabilities"], LIMITS))
        assert read.pixels is not None
        assert np.array_equal(read.pixels.ravel(), numbers)


@pytest.mark.slow
@pytest.mark.parametrize("top", [1, 127, 128, 2**14, 2**28, 2**32 - 1])
def test_numbers_of_every_length_are_not_cut_in_two(top: int) -> None:
    made = typed([top] * PART_BYTES)
    assert opened(made.SerializeToString())[0] == made


@pytest.mark.slow
def test_raw_pixels_and_pictures() -> None:
    made = KIND(model_name="digits", raw_input_contents=[bytes(10**6), b"", bytes(10**6)])
    made.inputs.add(name="pixels", datatype="UINT8", shape=[9, 784]).parameters["x"].string_param = "y" * 100_000
    one = made.inputs.add(name="image", datatype="BYTES", shape=[100])
    one.contents.bytes_contents.extend([bytes([i]) * 30_000 for i in range(100)])
    made.outputs.add(name="probabilities").parameters["classification"].int64_param = 3
    made.parameters["long"].string_param = "z" * 100_000
    assert opened(made.SerializeToString())[0] == made


@pytest.mark.slow
@given(st.binary(max_size=60), st.integers(0, 200_000), st.sampled_from([b"", bytes(70_000), bytes([0x80]) * 70_000]))
def test_bytes_that_are_wrong_anywhere(wrong: bytes, place: int, tail: bytes) -> None:
    """Messages that protobuf accepts give the same result; messages that it rejects are rejected."""
    data = typed([200] * 78_400).SerializeToString()
    data = data[:place] + wrong + data[place + len(wrong) :] + tail
    try:
        expected = KIND.FromString(data)
    except DecodeError:
        with pytest.raises(BadRequest):
            opened(data)
        return
    try:
        assert opened(data)[0] == expected
    except BadRequest as error:
        assert any(word in str(error) for word in ("fields", "long list of numbers", "cannot be decoded"))  # noqa: PT017


TINY_VALUES = {
    "inputs": MODEL + b"\x2a\x00" * 2**22,
    "outputs": MODEL + b"\x32\x00" * 2**22,
    "raw contents": MODEL + b"\x3a\x00" * 2**22,
    "parameters": MODEL + part(4, part(1, b"x")) * 2**20,
    "unknown fields": MODEL + b"\x78\x00" * 2**22,
    "nested": MODEL + part(5, NAME, SHAPE, part(5, b"\x42\x00" * 2**22)),
    "parameters of an input": MODEL + part(5, NAME, part(4, part(1, b"x")) * 2**20),
    "many inputs of many": MODEL + part(5, NAME, b"\x22\x00" * 30_000) * 100,
    "shape": MODEL + part(5, NAME, part(3, bytes(2**23))),
    "int64": MODEL + part(5, NAME, SHAPE, part(5, part(3, bytes(2**23)))),
    "bool": MODEL + part(5, NAME, SHAPE, part(5, part(1, bytes(2**23)))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY_VALUES)
def test_a_message_of_tiny_values_is_rejected_before_it_is_decoded(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match=r"more than 10,000 fields|long list of numbers in"):
            opened(TINY_VALUES[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


SMALL_TINY_VALUES = {
    "inputs": (MODEL + b"\x2a\x00" * (SMALL_BYTES // 2 - 10), r"\d{5} inputs"),
    "outputs": (MODEL + part(5, NAME, SHAPE) + b"\x32\x00" * (SMALL_BYTES // 2 - 50), r"\d{5} outputs"),
    "shape": (MODEL + part(5, NAME, part(3, bytes(SMALL_BYTES // 2))), r"32768 axes"),
    "long shape": (MODEL + part(5, NAME, part(3, bytes(SMALL_BYTES))), r"65536 axes"),
}


@pytest.mark.parametrize("name", SMALL_TINY_VALUES)
def test_tiny_values_of_small_messages_are_counted_and_not_read(name: str) -> None:
    data, says = SMALL_TINY_VALUES[name]
    with pytest.raises(BadRequest, match=says):
        asyncio.run(converters.read(opened(data)[0], ["probabilities"], LIMITS))


def test_as_many_fields_as_there_may_be() -> None:
    most = KIND(raw_input_contents=[b"x" * 100] * MAX_FIELDS)
    assert opened(most.SerializeToString())[0] == most
    with pytest.raises(BadRequest, match="fields"):
        opened(most.SerializeToString() + b"\x3a\x00")


def test_more_numbers_than_the_shape_means_are_not_packed() -> None:
    made = typed([0] * 784_000)
    made.inputs[0].shape[:] = [1, 784]
    with pytest.raises(BadRequest, match="784000 bytes of data"):
        asyncio.run(converters.read(made, ["probabilities"], LIMITS))
