"""Bounded JSON parsing: texts of tiny values are rejected before they are parsed, long lists come in chunks."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.errors import BadRequest, DigitsError, PayloadTooLarge
from service.inputs.json_chunks import (
    ELEMENT_BYTES,
    HARMLESS_BYTES,
    MOST_VALUES,
    PIECE_BYTES,
    PLACEHOLDER,
    ChunkedList,
    loads,
)
from service.settings import Settings
from tests.support.asgi import Answer, acall, call
from tests.support.models import digits
from tests.support.v2 import INFER, tensor

PREDICT, CLASSIFY = "/v1/models/digits:predict", "/v1/models/digits:classify"
INDEX = "/v2/repository/index"
KEY = "k" * 16
PIXELS = np.random.default_rng(2).integers(0, 256, (300, 28, 28, 1))


def cut(text: str, key: str = '"list": ') -> ChunkedList:
    start = text.index(key) + len(key)
    return ChunkedList(text.encode(), start + 1, text.rindex("]"))


def elements(text: str, key: str = '"list": ') -> list[Any]:
    found = cut(text, key)
    return [element for place in found.chunks() for element in found.elements(*place)]


# -- tiny values -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("value", ["[]", "{}", '""', "[0]", '{"a":1}', "[[[]]]"])
def test_a_text_of_tiny_values_is_rejected(value: str) -> None:
    text = f"[{','.join([value] * (2 * HARMLESS_BYTES // len(value)))}]".encode()
    with pytest.raises(BadRequest, match=r"thousands of tiny lists.* Do this\."):
        loads(text, " Do this.")
    assert loads(text[: text.rindex(b",", 0, HARMLESS_BYTES)] + b"]")


def test_tiny_values_behind_digits_are_rejected() -> None:
    text = b"[%b]" % b",".join([b'"%b"' % bytes([65]) * 1000] * 1000 + [b"[]"] * 2**20)
    with pytest.raises(BadRequest, match="thousands of tiny lists"):
        loads(text)


@pytest.mark.parametrize("writing", [{}, {"separators": (",", ":")}, {"indent": 4}])
def test_digits_are_not_tiny_values(writing: dict[str, Any]) -> None:
    for shape in ((-1, 784), (-1, 28, 28)):
        assert loads(json.dumps(PIXELS.reshape(shape).tolist(), **writing).encode())


def test_too_many_numbers_for_one_go() -> None:
    assert len(loads(b"[%b0]" % (b"0," * MOST_VALUES))) == MOST_VALUES + 1
    with pytest.raises(PayloadTooLarge, match="fewer digits"):
        loads(b"[%b0]" % (b"0," * (MOST_VALUES + 1)))


def packed(start: bytes, value: bytes, end: bytes) -> bytes:
    return gzip.compress(start + value * (6_000_000 // len(value)) + end)


@pytest.mark.slow
@pytest.mark.parametrize("value", [b"[],", b"{},", b'"",', b"[[[]]],", b"],["])
@pytest.mark.parametrize(
    ("path", "start"),
    [
        (INFER, b'{"inputs":['),
        (INFER, b'{"inputs":[{"name":"pixels","shape":[9,784],"datatype":"UINT8","data":['),
        (INFER, b'{"inputs":[{"name":"pixels","shape":[9,28,28],"datatype":"UINT8","data":[[['),
        (PREDICT, b'{"instances":['),
        (PREDICT, b'{"instances":[[['),
        (PREDICT, b'{"inputs":{"pixels":['),
        (PREDICT, b'{"instances":[{"pixels":[[0]]},{"pixels":['),
        (CLASSIFY, b'{"context":{},"examples":['),
        ("/predict", b'{"instances":[[['),
        (INDEX, b'{"ready":['),
    ],
)
def test_every_protocol_rejects_tiny_values_before_parsing_them(
    app: FastAPI, path: str, start: bytes, value: bytes
) -> None:
    """6 MB, sent as a few kilobytes, that would become hundreds."""
    body, headers = packed(start, value, b"0]]]]}]}}"), {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    tracemalloc.start()
    try:
        answer = call(app, path=path, body=body, headers=headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status in (400, 413, 422), answer.body
    assert peak < 40_000_000


@pytest.mark.parametrize("path", [INDEX, "/v2/repository/models/digits/load", "/v2/repository/models/digits/unload"])
@pytest.mark.parametrize("unpacks", [False, True])
def test_calls_that_take_a_small_object_take_nothing_big(models_dir: Any, path: str, unpacks: bool) -> None:
    app = create_app(Settings(models_dir=models_dir, feedback_path=models_dir / "f.sqlite", admin_key=KEY))  # type: ignore[arg-type]
    body = b'{"x": "%b"}' % bytes(70_000).replace(b"\0", b"x")
    packing = {"Content-Encoding": "gzip"} if unpacks else {}
    answer = call(app, path=path, body=gzip.compress(body) if unpacks else body, headers={"X-Admin-Key": KEY} | packing)
    assert answer.status == 413
    assert "65,536 bytes" in answer.json()["error"]


# -- pieces -----------------------------------------------------------------------------------------------------

SHAPES = [(-1,), (-1, 784), (-1, 28, 28), (-1, 28, 28, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("writing", [{}, {"separators": (",", ":")}, {"indent": 1}])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_list_comes_in_short_pieces(shape: tuple[int, ...], writing: dict[str, Any]) -> None:
    wanted = PIXELS.reshape(shape).tolist()
    text = json.dumps({"list": wanted, "behind": 1}, **writing)
    found = cut(text, '"list":' if "separators" in writing else '"list": ')
    sizes = [end - start for start, end in found.chunks()]
    assert len(sizes) > 4
    assert max(sizes) < 2 * PIECE_BYTES
    come = [element for place in found.chunks() for element in found.elements(*place)]
    assert np.array_equal(come, wanted)
    assert json.loads(found.rest()) == {"list": PLACEHOLDER, "behind": 1}


def test_objects_with_texts_come_in_pieces_too() -> None:
    wanted = [{"pixels": digit, "note": "a, [b], {c}"} for digit in PIXELS.reshape(-1, 784).tolist()]
    text = json.dumps({"list": wanted})
    assert len(list(cut(text).chunks())) > 4
    assert all(one == other for one, other in zip(elements(text), wanted, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x", "}, {", "]], [[", "],", ",", "[", "[[", "nul", "1.", '"', "0 0", "\n\n,"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", [0, 60, 99])
def test_where_it_is_no_json_a_piece_says_so_as_the_whole_would(place: int, shape: tuple[int, ...], text: str) -> None:
    numbers = PIXELS[:100].reshape(100, 784).copy()
    numbers[place, 300] = 7777
    spoiled = json.dumps({"list": numbers.reshape(shape).tolist()}).replace("7777", text)
    said = what_it_says(elements, spoiled)
    if said:  # otherwise the cut was wrong, and whoever reads it parses the whole
        assert said == what_it_says(orjson.loads, spoiled.encode())


def what_it_says(read: Any, text: Any) -> str:
    try:
        read(text)
    except (BadRequest, orjson.JSONDecodeError) as error:
        return str(error).removeprefix("The body is not JSON: ").removesuffix(".")
    return ""


@pytest.mark.parametrize("opening", ["", "[", "[[", "[[["])
def test_what_is_longer_than_any_digit_is_refused(opening: str) -> None:
    text = f'{{"list": [{opening}{"0,0," * ELEMENT_BYTES if opening else "1" * 2 * ELEMENT_BYTES}]}}'
    with pytest.raises(DigitsError, match="longer than any digit"):
        elements(text)


# -- others pass meanwhile --------------------------------------------------------------------------------------


def asked_meanwhile(app: FastAPI, path: str, body: bytes) -> tuple[Answer, int]:
    """The answer to a big request, and how many others were answered until it came."""

    async def both() -> tuple[Answer, int]:
        big, others = asyncio.ensure_future(acall(app, path=path, body=body)), 0
        while not big.done():
            assert (await acall(app, "GET", "/health/live")).status == 200
            others += 1
            await asyncio.sleep(0.0005)  # less would keep the threads of the model waiting for Python's lock
        return await big, others

    return asyncio.run(both())


MANY = digits(*[i % 10 for i in range(2000)])  # some 3 MB of JSON, so fifty pieces
SHAPES = ((-1, 28, 28, 1), (-1, 28, 28), (-1, 784))
BIG = ["V1 objects", "V1 a signature first", "V1 a named column", "V1 a column", "V1 classify"]
BIG += [f"{protocol} {shape}" for shape in SHAPES for protocol in ("V1", "V2")]


@cache
def big_requests() -> dict[str, tuple[str, Any]]:
    named = [{"pixels": one} for one in MANY.reshape(-1, 784).tolist()]
    requests = {
        "V1 objects": (PREDICT, {"instances": named}),
        "V1 a signature first": (PREDICT, {"signature_name": "serving_default", "instances": MANY.tolist()}),
        "V1 a named column": (PREDICT, {"inputs": {"pixels": MANY.tolist()}}),
        "V1 a column": (PREDICT, {"inputs": MANY.reshape(-1, 784).tolist(), "signature_name": "serving_default"}),
        "V1 classify": (CLASSIFY, {"context": {}, "examples": named}),
    }
    for shape in SHAPES:
        requests[f"V1 {shape}"] = PREDICT, {"instances": MANY.reshape(shape).tolist()}
        pixels = MANY.reshape(shape)
        requests[f"V2 {shape}"] = INFER, {"inputs": [tensor(pixels, data=pixels.tolist())]}
    return requests


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG)
def test_others_are_answered_while_a_big_request_is_read(app: FastAPI, name: str) -> None:
    path, asked = big_requests()[name]
    answer, others = asked_meanwhile(app, path, json.dumps(asked, separators=(",", ":")).encode())
    assert answer.status == 200, answer.body[:500]
    assert np.array_equal(likeliest(answer.json()), np.arange(2000) % 10)
    assert others > 10


def likeliest(answer: dict[str, Any]) -> Any:
    if "results" in answer:
        rows: Any = [[score for _, score in pairs] for pairs in answer["results"]]
    elif "model_name" in answer:
        rows = np.reshape(answer["outputs"][0]["data"], (-1, 10))
    else:
        rows = answer.get("predictions") or answer["outputs"]
    return np.argmax(rows, axis=1)
