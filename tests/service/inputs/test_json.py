"""JSON -> digits: every notation gives the same pixels, and a large body in chunks the same as at once."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.digits import Pixels
from service.errors import BadRequest, DigitsError, InvalidValue, PayloadTooLarge
from service.inputs import json as reader
from service.inputs import json_fast as plain
from service.inputs.json import from_json
from tests.support.bodies import as_json

LIMIT = 100_000
RANDOM = np.random.default_rng(0)
SMALL = RANDOM.integers(0, 256, (3, 28, 28), np.uint8)
BIG = RANDOM.integers(0, 256, (100, 28, 28), np.uint8)  # some 400 KB: half a dozen pieces


def read(body: bytes, limit: int = LIMIT) -> Pixels:
    pieces = list(from_json(body, limit))
    assert all(piece.dtype == np.uint8 and piece.shape[1:] == (28, 28) for piece in pieces)
    return np.concatenate(pieces)


def read_whole(body: bytes, limit: int = LIMIT) -> Pixels:
    """The result for a body that is parsed at once; a body parsed in chunks must give the same."""
    return reader.digits_from_list(reader._instances(body), limit)


def refused(body: bytes, limit: int = LIMIT) -> DigitsError:
    with pytest.raises(DigitsError) as caught:
        read(body, limit)
    return caught.value


@cache
def writings(many: bool) -> dict[str, bytes]:
    """The same digits, written in every way that JSON allows."""
    pixels = BIG if many else SMALL
    nested, flat = pixels.tolist(), pixels.reshape(-1, 784).tolist()
    both = [one if i % 2 else other for i, (one, other) in enumerate(zip(nested, flat, strict=True))]
    return {
        "nested": json.dumps({"instances": nested}).encode(),
        "flat": json.dumps({"instances": flat}).encode(),
        "nested and flat by turns": json.dumps({"instances": both}).encode(),
        "tight": json.dumps({"instances": nested}, separators=(",", ":")).encode(),
        "flat and tight": json.dumps({"instances": flat}, separators=(",", ":")).encode(),
        "pretty": json.dumps({"instances": nested}, indent=4).encode(),
        "pretty with tabs and CRLF": json.dumps({"instances": flat}, indent="\t").replace("\n", "\r\n").encode(),
        "a blank everywhere": re.sub(r"([\[\]{},:])", r" \1 ", json.dumps({"instances": nested})).encode(),
        "space around": b" \n\t\r" + json.dumps({"instances": nested}).encode() + b"\r\n " * 200,
        "floats": json.dumps({"instances": pixels.astype(float).tolist()}).encode(),
        "some floats": json.dumps({"instances": [*nested[:-1], pixels[-1].astype(float).tolist()]}).encode(),
        "exponents": json.dumps({"instances": nested}).replace(" 10,", " 1e1,").replace(" 200,", " 2E+2,").encode(),
        "an escaped key": json.dumps({"instances": nested}).replace("instances", "inst\\u0061nces").encode(),
        "-0": json.dumps({"instances": nested}).replace(" 0,", " -0,").encode(),
    }


@pytest.mark.parametrize("writing", writings(many=False))
@pytest.mark.parametrize("many", [False, True], ids=["three", "many"])
def test_every_writing_gives_the_same_pixels(writing: str, many: bool) -> None:
    assert np.array_equal(read(writings(many)[writing]), BIG if many else SMALL)


@pytest.mark.parametrize("many", [False, True], ids=["three", "many"])
def test_without_simdjson_the_pixels_are_the_same(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "PARSER", None)
    for writing, body in writings(many).items():
        assert np.array_equal(read(body), BIG if many else SMALL), writing


@pytest.mark.parametrize("pixels", [SMALL, BIG], ids=["three", "many"])
def test_unknown_fields_are_rejected(pixels: Pixels) -> None:
    nested, flat = pixels.tolist(), pixels.reshape(-1, 784).tolist()
    for field, document in (
        ("signature_name", {"signature_name": "serving_default", "instances": nested}),
        ("parameters", {"instances": nested, "parameters": {"true": [[1], [2]]}}),
        ("x", {"instances": nested, "x": [[0], [1]]}),
        ("a", {"a": [[[1]]], "instances": flat, "b": [[2], [3]]}),
        ("Instances", {"instances": nested, "Instances": nested}),
        ("\\x00", {"instances": nested, "\0": 1}),
        ("x" * 40, {"instances": nested, "x" * 10_000: 1}),
    ):
        error = refused(json.dumps(document).encode())
        assert isinstance(error, InvalidValue)
        assert error.field == field
        assert str(error) == f"There is no field '{field}' in this request; the only field is instances."


def test_a_big_body_comes_in_pieces() -> None:
    for writing in ("nested", "flat", "tight", "pretty", "floats"):
        assert len(list(from_json(writings(many=True)[writing], LIMIT))) > 4, writing


@pytest.mark.parametrize(
    ("number", "pixel"), [(0.4, 0), (0.6, 1), (12.5, 12), (13.5, 14), (254.9, 255), (255.0, 255), (-0.0, 0)]
)
def test_fractions_are_rounded(number: float, pixel: int) -> None:
    digit = np.full((1, 28, 28), 200.25)
    digit[0, 3, 5] = number
    found = read(as_json(digit))
    assert found[0, 3, 5] == pixel
    assert found[0, 0, 0] == 200


def test_zeros_and_ones_are_pixels_but_shares_are_not() -> None:
    """An array of 0.0 and 1.0 may be what it says; one with 0.5 in it and nothing above 1 was divided by 255."""
    for dtype in (int, float):
        ones = np.eye(28)[None].astype(dtype)
        assert np.array_equal(read(as_json(ones)), ones)
    error = refused(as_json(np.stack([np.full((28, 28), 200.5), np.eye(28) / 2])))
    assert isinstance(error, InvalidValue)
    assert error.field == "instances[1]"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["true", "false", "null", '"1"', "256", "-1", "[]", "{}", "1e300", "255.1"])
@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
@pytest.mark.parametrize("place", [0, 41, 99])
def test_a_wrong_pixel_of_a_big_body_is_named(text: str, flat: bool, place: int) -> None:
    digits: list[Any] = BIG.reshape(-1, 784).tolist() if flat else BIG.tolist()
    (digits[place] if flat else digits[place][3])[5] = "HERE"
    error = refused(json.dumps({"instances": digits}).replace('"HERE"', text).encode())
    assert isinstance(error, InvalidValue)
    pixel = "[5]" if flat else "[3][5]"
    assert error.field == f"instances[{place}]" + ("" if flat and text == "[]" else pixel)
    assert str(error).startswith(error.field)


@pytest.mark.parametrize("place", [0, 41, 99])
@pytest.mark.parametrize(
    ("digit", "field"),
    [
        ([0] * 783, ""),
        ([[0] * 28] * 27, ""),
        ([[0] * 28] * 27 + [[0]], "[27]"),
        (None, ""),
        ({"a": [[1], [2]]}, ""),
        ([], ""),
    ],
)
def test_a_wrong_digit_of_a_big_body_is_named(place: int, digit: Any, field: str) -> None:
    digits = BIG.tolist()
    digits[place] = digit
    error = refused(json.dumps({"instances": digits}).encode())
    assert isinstance(error, InvalidValue)
    assert error.field == f"instances[{place}]{field}"


BREAKS = {
    "trailing comma": (b"]]]}", b"]],]}"),
    "a digit missing between commas": (b"]], [[", b"]],, [["),
    "a comma missing": (b"]], [[", b"]] [["),
    "one bracket too many": (b"]], [[", b"]]], [["),
    "one bracket too few": (b"]], [[", b"], [["),
    "no closing brace": (b"]]]}", b"]]]"),
    "no closing bracket": (b"]]]}", b"]]}"),
    "two closing braces": (b"]]]}", b"]]]}}"),
    "a second document": (b"]]]}", b"]]]} {}"),
    "NaN": (b"]], [[", b"]], [[NaN, "),
    "a control character": (b"]], [[", b"]], \x0b[["),
    "NUL": (b"]], [[", b"]], \0[["),
    "NUL behind": (b"]]]}", b"]]]}\0"),
    "form feed before": (b'{"instances"', b'\x0c{"instances"'),
    "vertical tab inside": (b'{"instances"', b'{\x0b"instances"'),
    "vertical tab at the end": (b"]]]}", b"]]]\x0b}"),
    "form feed behind": (b"]]]}", b"]]]}\x0c"),
    "not UTF-8": (b"]], [[", b']], "\xff", [['),
    "an open text": (b"]], [[", b']], "a, [['),
}


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("pixels", [SMALL, BIG], ids=["small", "big"])
def test_what_is_not_json_is_refused_at_any_size(what: str, pixels: Pixels) -> None:
    old, new = BREAKS[what]
    body = as_json(pixels)
    at = body.rfind(old)
    assert at >= 0
    assert isinstance(refused(body[:at] + new + body[at + len(old) :]), BadRequest)


@pytest.mark.parametrize("writing", ["nested", "flat", "an escaped key", "pretty"])
def test_too_many_digits(writing: str) -> None:
    body = writings(many=True)[writing]
    assert len(read(body, limit=100)) == 100
    error = refused(body, limit=99)
    assert isinstance(error, PayloadTooLarge)
    assert "at most 99" in str(error)


def test_the_last_of_two_equal_keys_counts_at_any_size() -> None:
    """As it does in every JSON reader of ours: what was checked must be what is answered."""
    for first, second in ((SMALL, SMALL[::-1]), (BIG, BIG[::-1]), (BIG, SMALL), (SMALL, BIG)):
        body = as_json(first)[:-1] + b"," + as_json(second)[1:]
        assert np.array_equal(read(body), second)


@pytest.mark.parametrize("text", ["[]", "{}", "5", "null", '"]}"', "[[]]"])
def test_a_second_instances_of_another_form(text: str) -> None:
    body = as_json(BIG)[:-1] + b', "instances": %b, "x": [1]}' % text.encode()
    assert isinstance(refused(body), InvalidValue)


spaces = st.text(" \n\r\t", max_size=3)
junk = st.sampled_from(
    ["", "true", "256", "null", "]", "[", ",", '"', "]]", "[[", "}", "{", "1.5", "-1", "\x0b", "NaN", "]],[[", "],["]
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A big body, spaced at random, its digits in random forms, and now and then spoiled at a random place."""
    count = draw(st.integers(45, 120))
    pixels = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, (count, 28, 28))
    flat = draw(st.sampled_from(["all", "none", "some"]))
    digits = [
        one.reshape(784).tolist() if flat == "all" or (flat == "some" and i % 3) else one.tolist()
        for i, one in enumerate(pixels)
    ]
    comma, opening, closing = (draw(spaces) for _ in range(3))
    text = json.dumps({"instances": digits}, separators=(f"{comma},{comma}", ":"))
    text = text.replace("[[", f"[{opening}[").replace("]]", f"]{closing}]")
    if draw(st.booleans()):
        text = draw(st.sampled_from(['{"x":[[1],[2]],', '{"instances":[],'])) + text[1:]
    if draw(st.booleans()):
        text = text[:-1] + draw(
            st.sampled_from([',"x":[[1],[2]]}', ',"instances":[]}', ',"x":"]}"}', ' , "e" : [ ] } '])
        )
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(junk) + text[at + draw(st.integers(0, 3)) :]
    return text.encode()


def outcome(body: bytes, how: Callable[[bytes], Pixels]) -> Pixels | DigitsError:
    try:
        return how(body)
    except DigitsError as error:
        return error


@pytest.mark.slow
@given(bodies())
def test_pieces_read_as_the_whole_does(body: bytes) -> None:
    """The same pixels; or both refuse, naming the same place where both found a wrong value."""
    found, expected = outcome(body, read), outcome(body, read_whole)
    if isinstance(expected, BadRequest):  # in pieces, a wrong value may be met before the place that is no JSON
        assert isinstance(found, BadRequest | InvalidValue)
    elif isinstance(expected, InvalidValue):
        assert isinstance(found, InvalidValue)
        assert found.field == expected.field
    else:
        assert np.array_equal(found, expected)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("value", [b"[]", b"{}", b"[0]", b"[[]]"])
@pytest.mark.parametrize("start", [b'{"instances": [', b'{"x": [', b"["])
def test_a_body_of_tiny_values_is_rejected_in_little_memory(start: bytes, value: bytes) -> None:
    """Half a megabyte that would become as many Python objects: 64 MB of them, the limit, would be two gigabytes."""
    body = start + b",".join([value] * (500_000 // (len(value) + 1))) + b"]" + b"}" * start.startswith(b"{")
    tracemalloc.start()
    try:
        refused(body, limit=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body)


def test_orjson_and_the_standard_library_agree_on_what_is_read() -> None:
    for writing, body in writings(many=False).items():
        document = json.loads(body)["instances"]
        expected = np.array([np.reshape(digit, (28, 28)) for digit in document])
        assert np.array_equal(read(body), expected), writing
