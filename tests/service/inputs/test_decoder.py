"""The decoder: media type and bytes to pixels; small bodies without awaiting, and the same digits as with it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from service.errors import BadRequest, DigitsError, PayloadTooLarge, UnsupportedMediaType
from service.inputs.decoder import Decoder
from service.settings import Settings
from tests.support.bodies import MULTIPART, as_csv, as_image, as_json, as_multipart, as_npy, on_paper
from tests.support.models import digit, digits, written

JSON, OCTETS, NPY, CSV = "application/json", "application/octet-stream", "application/x-npy", "text/csv"
TWO = digits(3, 4)
SMALL = {
    "JSON": (as_json(TWO), JSON),
    "JSON with parameters": (as_json(TWO), " Application/JSON ; charset=utf-8"),
    "raw": (TWO.tobytes(), OCTETS),
    "npy": (as_npy(TWO), NPY),
    "CSV": (as_csv(TWO), CSV),
}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(Settings(max_instances=500, max_files=2, max_body_bytes=2_000_000))


@pytest.mark.parametrize("name", SMALL)
def test_small_bodies_give_the_same_digits_inline_and_awaited(decoder: Decoder, name: str) -> None:
    body, kind = SMALL[name]
    inline = decoder.decode_inline(kind, body)
    assert inline is not None
    assert (inline.dtype, inline.shape) == (np.uint8, (2, 28, 28))
    assert np.array_equal(inline, TWO)
    assert np.array_equal(asyncio.run(decoder.decode(kind, body)), TWO)


def test_a_small_picture_is_decoded_inline(decoder: Decoder) -> None:
    body = as_image(digit(7))
    inline = decoder.decode_inline("image/png", body)
    assert inline is not None
    assert inline.shape == (1, 28, 28)
    assert np.array_equal(inline, asyncio.run(decoder.decode("image/anything", body)))


LARGE = {
    "JSON": (as_json(digits(*[5] * 300)), JSON, 300),
    "raw": (bytes(784 * 500), OCTETS, 500),
    "npy": (as_npy(digits(*[5] * 300)), NPY, 300),
    "CSV": (as_csv(digits(*[5] * 300)), CSV, 300),
    "large picture": (as_image(on_paper(written()[3], 100)), "image/png", 1),
    "files": (as_multipart([("a", as_image(digit(1))), ("b", as_image(digit(2)))]), MULTIPART, 2),
}


@pytest.mark.parametrize("name", LARGE)
def test_bodies_that_take_long_are_not_decoded_inline(decoder: Decoder, name: str) -> None:
    body, kind, count = LARGE[name]
    assert decoder.decode_inline(kind, body) is None
    assert asyncio.run(decoder.decode(kind, body)).shape == (count, 28, 28)


def test_other_tasks_run_while_a_large_body_is_decoded(decoder: Decoder) -> None:
    async def turns() -> int:
        body, kind, _ = LARGE["JSON"]
        task, count = asyncio.ensure_future(decoder.decode(kind, body)), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turns()) > 3


@pytest.mark.parametrize(
    ("kind", "body", "error", "says"),
    [
        (JSON, b"", BadRequest, "empty"),
        (OCTETS, bytes(783), BadRequest, "multiple of 784"),
        (OCTETS, bytes(784 * 501), PayloadTooLarge, "501 digits"),
        (MULTIPART, as_multipart([("x", as_image(digit(1)))] * 3), PayloadTooLarge, "files"),
        ("text/html", b"x", UnsupportedMediaType, "text/html"),
        ("text/" + "x" * 5000, b"x", UnsupportedMediaType, "text/xxx"),
        ("", b"x", UnsupportedMediaType, "Content-Type"),
        ("application/x-www-form-urlencoded", b"x", UnsupportedMediaType, "curl"),
        ("image/png", b"x", UnsupportedMediaType, ""),
    ],
)
def test_bodies_that_are_rejected(
    decoder: Decoder, kind: str, body: bytes, error: type[DigitsError], says: str
) -> None:
    with pytest.raises(error) as caught:
        asyncio.run(decoder.decode(kind, body))
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500
    assert kind != "text/html" or decoder.decode_inline(kind, body) is None


def test_a_file_among_several_is_named_in_the_error(decoder: Decoder) -> None:
    body = as_multipart([("a", as_image(digit(1))), ("b", b"not a picture")])
    with pytest.raises(UnsupportedMediaType, match=r"^files\[1\]: "):
        asyncio.run(decoder.decode(MULTIPART, body))
