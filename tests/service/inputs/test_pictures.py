"""Picture files in a request: on the event loop or in a thread with the same digit, errors that name the place."""

from __future__ import annotations

import asyncio
import base64
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest, DigitsError, InvalidValue, PayloadTooLarge, UnsupportedMediaType
from service.inputs import images
from service.inputs.pictures import decode_picture, decode_pictures, from_base64
from tests.support.bodies import as_image, on_paper
from tests.support.models import digit, written

MAX_PIXELS = 1_000_000
LARGE = as_image(on_paper(written()[3], 20))


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp"])
def test_a_picture_gives_one_digit(kind: str) -> None:
    data = as_image(on_paper(written()[3]), kind)
    found = asyncio.run(decode_picture(data, MAX_PIXELS))
    assert (found.dtype, found.shape) == (np.uint8, (28, 28))
    assert np.array_equal(found, images.decode_image(data, MAX_PIXELS))


def test_only_small_pictures_are_decoded_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real decoder runs; that it is called in which thread is what is recorded."""
    threads = []

    def recorded(data: bytes, max_pixels: int) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        return images.decode_image(data, max_pixels)

    monkeypatch.setattr("service.inputs.pictures.decode_image", recorded)
    for data in (as_image(digit(3)), LARGE, as_image(digit(3), "bmp")):
        asyncio.run(decode_picture(data, MAX_PIXELS))
    assert threads == [True, False, False]


BAD: dict[str, tuple[bytes, type[DigitsError]]] = {
    "not a picture": (b"hello", UnsupportedMediaType),
    "truncated": (as_image(digit(3))[:-30], BadRequest),
    "too large": (as_image(np.zeros((1001, 1000), np.uint8)), PayloadTooLarge),
    "blank": (as_image(np.zeros((28, 28), np.uint8)), InvalidValue),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_is_of_the_same_class_with_a_place_and_without(name: str) -> None:
    data, kind = BAD[name]
    with pytest.raises(DigitsError) as plain:
        asyncio.run(decode_picture(data, MAX_PIXELS))
    with pytest.raises(DigitsError) as placed:
        asyncio.run(decode_picture(data, MAX_PIXELS, "instances[2]"))
    assert type(plain.value) is type(placed.value) is kind
    assert str(placed.value) == f"instances[2]: {plain.value}"
    if isinstance(placed.value, InvalidValue):
        assert placed.value.field == "instances[2]"


def test_several_pictures_keep_their_order_and_an_error_names_its_index() -> None:
    files = [as_image(digit(value)) for value in (3, 1, 4)]
    found = asyncio.run(decode_pictures([memoryview(file) for file in files], MAX_PIXELS, "image"))
    assert found.shape == (3, 28, 28)
    assert np.array_equal(found[1], images.decode_image(files[1], MAX_PIXELS))
    with pytest.raises(UnsupportedMediaType, match=r"^image\[1\]: "):
        asyncio.run(decode_pictures([files[0], b"hello"], MAX_PIXELS, "image"))


@given(st.binary(max_size=300), st.sampled_from(["", "\n", "\r\n", " \t\v\f"]), st.booleans())
def test_base64_with_line_breaks_and_without_padding(data: bytes, gap: str, padded: bool) -> None:
    text = base64.b64encode(data).decode()
    text = text if padded else text.rstrip("=")
    assert from_base64(gap.join(text[i : i + 76] for i in range(0, len(text), 76)) + gap) == data


@pytest.mark.parametrize("text", [None, 5, b"aGk=", ["aGk="], "!", "aGk*", "é", "a", "aGk=aGk=", "_-__"])
def test_what_is_not_base64(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - callers add their own message
        from_base64(text)
