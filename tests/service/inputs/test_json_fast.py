"""The fast path for JSON: the same pixels as the usual parser, or None."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DigitsError
from service.inputs import json as reader
from service.inputs import json_fast as plain
from service.inputs.json_fast import digits_of_list, digits_of_object
from tests.support.bodies import as_json, with_pixel

needs_simdjson = pytest.mark.skipif(plain.PARSER is None, reason="simdjson has no wheel for this Python")

PIXELS = np.random.default_rng(1).integers(0, 256, (3, 28, 28), np.uint8)
NESTED, FLAT = PIXELS.tolist(), PIXELS.reshape(-1, 784).tolist()
TIGHT = json.dumps({"instances": NESTED[:1]}, separators=(",", ":")).encode()

PLAIN = {
    "nested": json.dumps({"instances": NESTED}).encode(),
    "flat": json.dumps({"instances": FLAT}).encode(),
    "tight": TIGHT,
    "pretty": json.dumps({"instances": NESTED}, indent=2).encode(),
    "blanks around": b" \r\n\t" + TIGHT + b"\n ",
}
NOT_PLAIN = {
    "nothing": b"",
    "no digit": b'{"instances":[]}',
    "another key": TIGHT.replace(b"instances", b"instance"),
    "two keys": TIGHT[:-1] + b',"a":1}',
    "the key twice": TIGHT[:-1] + b',"instances":[]}',
    "a key in front": b'{"a":1,' + TIGHT[1:],
    "an escaped key": TIGHT.replace(b"instances", b"\\u0069nstances"),
    "nested and flat by turns": json.dumps({"instances": [NESTED[0], FLAT[1]]}).encode(),
    "a digit that is not wrapped": json.dumps({"instances": NESTED[0]}).encode(),
    "a row too few": json.dumps({"instances": [NESTED[0][:27]]}).encode(),
    "rows of 27 and 29": json.dumps({"instances": [[*NESTED[0][:26], [0] * 27, [0] * 29]]}).encode(),
    "783 numbers": json.dumps({"instances": [FLAT[0][:783]]}).encode(),
    "784 numbers and an axis more": json.dumps({"instances": [[[pixel] for pixel in FLAT[0]]]}).encode(),
    "text behind": TIGHT + b"x",
    "a NUL behind": TIGHT + b"\0",
    "a byte order mark": b"\xef\xbb\xbf" + TIGHT,
    "cut short": TIGHT[:-1],
    "two values": TIGHT + TIGHT,
    "a comma too many": TIGHT[:-2] + b",]}",
    "deep": b'{"instances":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "a list": b"[1]",
    "a number": b"1",
    "text": b'"instances"',
} | {f"a pixel of {text}": with_pixel(text) for text in
     ("256", "-1", "1.0", "0.5", "1e2", "true", "false", "null", '"7"', "[7]", "[]", "{}", '{"a":1}', "01", "+1", "0x1",
      "1" * 30, "1" * 500, "NaN", "Infinity", "", "1 2", "18446744073709551616", "18446744073709551615")}  # fmt: skip


@needs_simdjson
@pytest.mark.parametrize("name", PLAIN)
def test_plain_digits_are_read(name: str) -> None:
    pixels = digits_of_object(PLAIN[name])
    assert pixels is not None
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, PIXELS[: len(pixels)])


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_all_else_is_left_to_the_usual_reader(name: str) -> None:
    assert digits_of_object(NOT_PLAIN[name]) is None


@needs_simdjson
def test_minus_zero_is_zero() -> None:
    pixels = digits_of_object(with_pixel("-0"))
    assert pixels is None or not pixels.any()


@needs_simdjson
def test_a_list_is_read_as_an_object_is() -> None:
    text = json.dumps(NESTED).encode()
    assert np.array_equal(digits_of_list(text), PIXELS)  # type: ignore[arg-type]
    assert digits_of_list(TIGHT) is None
    assert digits_of_object(text) is None


@needs_simdjson
def test_what_fails_leaves_nothing_behind() -> None:
    """The parser is used again and again, and gives nothing that outlives its text."""
    for text in [*NOT_PLAIN.values(), *PLAIN.values()] * 3:
        digits_of_object(text)
    first, second = digits_of_object(PLAIN["nested"]), digits_of_object(as_json(255 - PIXELS))
    assert np.array_equal(first, PIXELS)  # type: ignore[arg-type]
    assert np.array_equal(second, 255 - PIXELS)  # type: ignore[arg-type]


@needs_simdjson
def test_several_threads_get_their_own_digits_or_none() -> None:
    wrong = []

    def read(shade: int) -> None:
        text = as_json(np.full((1, 28, 28), shade))
        for _ in range(300):
            pixels = digits_of_object(text)
            if pixels is not None and not (pixels == shade).all():
                wrong.append(shade)

    threads = [threading.Thread(target=read, args=(shade,)) for shade in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.data())
def test_a_text_with_an_error_is_read_as_usual_or_not_at_all(data: st.DataObject) -> None:
    """Any few bytes of a good text, replaced, taken out or doubled."""
    text = bytearray(data.draw(st.sampled_from([TIGHT, PLAIN["flat"], PLAIN["nested"]])))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(
            st.one_of(st.integers(0, 40), st.integers(0, len(text)), st.integers(len(text) - 40, len(text)))
        )
        end = min(len(text), start + data.draw(st.integers(0, 3)))
        text[start:end] = data.draw(
            st.one_of(
                st.sampled_from([b"", b",", b"[", b"]", b"],[", b"0", b" ", b'"', b"-", b".", b"e"]),
                st.binary(max_size=3),
            )
        )
    found = digits_of_object(bytes(text))
    if found is None:
        return
    try:
        usual = reader.digits_from_list(reader._instances(bytes(text)), 100)
    except DigitsError as error:
        raise AssertionError(f"read what the usual reader refuses: {error}") from error
    assert np.array_equal(found, usual)
