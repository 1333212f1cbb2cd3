"""TensorFlow Serving's JSON, long and short: read in chunks if possible, with the same result."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from service.errors import BadRequest, DigitsError, PayloadTooLarge
from service.tfserving.request import InferenceRequest, classify_request, predict_request

PIXELS = np.random.default_rng(4).integers(0, 256, (150, 28, 28), np.uint8)  # some 500 kB
FLAT, NESTED = PIXELS.reshape(-1, 784).tolist(), PIXELS.tolist()
NAMED = [{"pixels": one} for one in FLAT]
SIGNATURE = {"signature_name": "serving_default"}

PLACEHOLDER = {
    "instances": {"instances": NESTED},
    "flat": {"instances": FLAT},
    "with a channel": {"instances": PIXELS[..., None].tolist()},
    "objects": {"instances": NAMED},
    "a signature before": SIGNATURE | {"instances": NESTED},
    "a signature behind": {"instances": NESTED} | SIGNATURE,
    "column": {"inputs": NESTED},
    "named column": {"inputs": {"pixels": NESTED}},
    "nested and flat by turns": {"instances": [one if i % 2 else FLAT[i] for i, one in enumerate(NESTED)]},
    "flat first": {"instances": [FLAT[0], *NESTED[1:]]},
    "a list behind": {"instances": NESTED, "more": [1, 2]},
    "a list behind objects": {"instances": NAMED, "more": [1, 2]},
}
WHOLE = {
    "a long text before": {"note": "x" * 2000, "instances": NESTED},
}
EXAMPLES = {
    "examples": {"examples": NAMED},
    "a context before": {"context": {"more": 1}, "examples": NAMED},
    "a context behind": {"examples": NAMED, "context": {"more": [1]}},
}


def digits(asked: InferenceRequest, limit: int = 1000) -> Any:
    found: list[Any] = []
    for piece in asked.pieces(limit):
        found = [] if piece is None else [*found, piece]
    return np.concatenate(found)


@pytest.mark.parametrize("writing", [{}, {"indent": 1}, {"separators": (",", ":")}])
@pytest.mark.parametrize("name", [*PLACEHOLDER, *WHOLE])
def test_every_form_gives_the_same_digits(name: str, writing: dict[str, Any]) -> None:
    asked = predict_request(json.dumps((PLACEHOLDER | WHOLE)[name], **writing).encode())
    assert (asked.chunked is not None) == (name in PLACEHOLDER)
    assert np.array_equal(digits(asked), PIXELS)


def test_examples() -> None:
    for name in ("examples", "a context before"):
        document = EXAMPLES[name]
        plain = {"context": {}, "examples": document["examples"]}
        assert np.array_equal(digits(classify_request(json.dumps(plain).encode())), PIXELS)
    shared = {"context": {"pixels": FLAT[0]}, "examples": [{}] * 3}
    assert np.array_equal(digits(classify_request(json.dumps(shared).encode())), PIXELS[[0] * 3])
    for document in EXAMPLES.values():
        asked = classify_request(json.dumps(document).encode())
        if "context" in document:
            with pytest.raises(BadRequest, match=r"examples\[0\] is not a digit"):
                digits(asked)
        else:
            assert np.array_equal(digits(asked), PIXELS)


def test_a_short_request_is_not_cut() -> None:
    asked = predict_request(json.dumps({"instances": NESTED[:3]}).encode())
    assert asked.chunked is None
    assert np.array_equal(digits(asked), PIXELS[:3])


@pytest.mark.parametrize("place", [0, 75, 149])
@pytest.mark.parametrize(
    ("key", "items"), [("instances", NESTED), ("instances", FLAT), ("inputs", FLAT), ("instances", NAMED)]
)
@pytest.mark.parametrize("wrong", [256, "a", None, True, [1], {}])
def test_a_wrong_digit_of_many_is_named(key: str, items: list[Any], place: int, wrong: Any) -> None:
    asked = predict_request(json.dumps({key: [*items[:place], wrong, *items[place + 1 :]]}).encode())
    with pytest.raises(BadRequest, match=rf"^{key}\[{place}\]"):
        digits(asked)


@pytest.mark.parametrize("end", ["", "]", "}", "]]}", "]}}", "]}x", ',"inputs":1}', ",]}", ',"a":[1}'])
@pytest.mark.parametrize("items", [NESTED, FLAT, NAMED])
def test_a_wrong_end(end: str, items: list[Any]) -> None:
    body = json.dumps({"instances": items})[:-2] + end
    with pytest.raises(BadRequest, match=r"not JSON|either"):
        digits(predict_request(body.encode()))


@pytest.mark.parametrize("instances", ["[]", "5", "[[0]]", "null"])
@pytest.mark.parametrize("items", [NESTED, FLAT, NAMED])
def test_the_last_of_two_equal_keys_counts(instances: str, items: list[Any]) -> None:
    first = json.dumps({"instances": items})
    with pytest.raises(BadRequest, match="instances"):
        digits(predict_request(f'{first[:-1]}, "instances": {instances}}}'.encode()))
    asked = predict_request(f'{{"instances": {instances}, {first[1:]}'.encode())
    assert np.array_equal(digits(asked), PIXELS)
    turned = json.dumps({"instances": items[::-1]})
    assert np.array_equal(digits(predict_request(f"{turned[:-1]}, {first[1:]}".encode())), PIXELS)


def test_too_many_digits() -> None:
    for document in (PLACEHOLDER | WHOLE).values():
        asked = predict_request(json.dumps(document).encode())
        assert len(digits(asked, 150)) == 150
        with pytest.raises(PayloadTooLarge, match="150 digits"):
            digits(asked, 149)


def test_long_pictures() -> None:
    """Their text is long, but holds no list."""
    files = [bytes([i]) * 300_000 for i in range(3)]
    pictures = [{"b64": base64.b64encode(file).decode()} for file in files]
    for document in ({"instances": pictures}, {"inputs": {"image": pictures}}):
        pieces = predict_request(json.dumps(document).encode()).pieces(10)
        assert [piece for piece in pieces if isinstance(piece, bytes)] == files


def test_malformed_examples() -> None:
    for document in ({"examples": NESTED}, {"examples": [*NAMED, 5]}, {"context": [1], "examples": NAMED}, {}):
        with pytest.raises(DigitsError, match=r'Send \{"examples"'):
            digits(classify_request(json.dumps(document).encode()))
