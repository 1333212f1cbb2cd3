"""POST /v2/models/{model}/infer: every form of a request gets the model's own numbers, every bad one a sentence."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.access.client import Client
from service.app import create_app
from service.errors import DigitsError
from service.http.error_handlers import on_digits_error
from service.openinference import http as v2
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.server.budget import Lease
from service.settings import Settings
from tests.support.asgi import Answer, acall, call, until
from tests.support.bodies import as_image, on_paper, png_claiming
from tests.support.models import digit, digits, publish, written
from tests.support.refusals import LIMITS
from tests.support.server import Server
from tests.support.v2 import (
    INFER,
    LENGTH,
    behind,
    binary,
    check_error,
    classes,
    document,
    elements,
    outputs,
    publish_with_lecture_output,
    tensor,
)

WANTED = [3, 1, 4, 1, 5, 9, 2, 6, 5, 0]
PIXELS = digits(*WANTED)
BOTH = "/v2/models/both/infer"


@pytest.fixture(scope="module")
def app(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The usual models, and `both`, which has the lecture's output too."""
    root = tmp_path_factory.mktemp("v2") / "models"
    root.mkdir()
    for folder in models_dir.iterdir():
        if folder.is_dir():
            (root / folder.name).symlink_to(folder)
    publish_with_lecture_output(root, name="both")
    return create_app(Settings(models_dir=root, feedback_path=root / "feedback.sqlite"))


def ask(app: FastAPI, body: bytes, headers: dict[str, str] | None = None, path: str = INFER) -> Answer:
    return call(app, path=path, body=body, headers=headers)


def good(answer: Answer) -> Answer:
    assert answer.status == 200, answer.body[:500]
    assert answer.headers["content-length"] == str(len(answer.body))
    return answer


def expected(app: FastAPI, pixels: Any = PIXELS) -> Any:
    return app.state.context.engine.served().model.predict(pixels)


# -- inputs -----------------------------------------------------------------------------------------------------


def pixel_requests() -> dict[str, tuple[bytes, dict[str, str]]]:
    requests: dict[str, tuple[bytes, dict[str, str]]] = {}
    for shape in ([10, 28, 28, 1], [10, 28, 28], [10, 784]):
        pixels = PIXELS.reshape(shape)
        requests[f"flat {shape}"] = document(tensor(pixels)), {}
        requests[f"nested {shape}"] = document(tensor(pixels, data=pixels.tolist())), {}
        requests[f"binary {shape}"] = binary(pixels)
    body, headers = binary(PIXELS.reshape(10, 784))
    requests["whole floats"] = document(tensor(PIXELS.reshape(10, 784).astype(float))), {}
    requests["raw"] = PIXELS.tobytes(), {LENGTH: "0"}
    requests["header of the whole"] = (text := document(tensor(PIXELS))), {LENGTH: str(len(text))}
    requests["header with zeros"] = body, headers | {LENGTH: headers[LENGTH].zfill(8)}
    requests["header with blanks"] = body, headers | {LENGTH: f"\t {headers[LENGTH]} \t"}
    requests["gzip"] = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    requests["deflate"] = zlib.compress(body), headers | {"Content-Encoding": "deflate"}
    requests["raw, gzip"] = gzip.compress(PIXELS.tobytes()), {LENGTH: "0", "Content-Encoding": "gzip"}
    requests["JSON, gzip"] = gzip.compress(text), {"Content-Encoding": "gzip"}
    return requests


REQUESTS = pixel_requests()


@pytest.mark.parametrize("name", REQUESTS)
def test_every_form_of_pixels_gives_the_model_s_own_numbers(app: FastAPI, name: str) -> None:
    answer = good(ask(app, *REQUESTS[name]))
    found = outputs(answer.body, answer.headers)["probabilities"]
    assert (found.datatype, found.shape) == ("FP32", [10, 10])
    assert np.array_equal(found.values.astype(np.float32), expected(app))
    assert (LENGTH.lower() in answer.headers) == name.startswith("raw")  # a raw request means a binary answer


@pytest.mark.parametrize("kind", [None, "application/json", "application/octet-stream", "text/plain", "nonsense", ""])
def test_no_content_type_is_needed_and_none_matters(app: FastAPI, kind: str | None) -> None:
    body, headers = binary(PIXELS)
    del headers["Content-Type"]
    for text, more in ((body, headers), (document(tensor(PIXELS)), {})):
        answer = good(ask(app, text, more | ({} if kind is None else {"Content-Type": kind})))
        assert classes(answer.body, answer.headers) == WANTED


def pictures() -> list[bytes]:
    paper = Image.fromarray(on_paper(written()[7]))
    return [as_image(digit(3)), as_image(paper), as_image(paper, "jpeg", quality=90), as_image(digit(5), "bmp")]


@pytest.mark.parametrize("shape", [[4], [4, 1]])
def test_pictures_as_binary_data_and_as_base64(app: FastAPI, shape: list[int]) -> None:
    one = {"name": "image", "shape": shape, "datatype": "BYTES"}
    texts: Any = [base64.b64encode(file).decode() for file in pictures()]
    nested = [[text] for text in texts] if len(shape) == 2 else texts
    for request in (behind(one, elements(*pictures())), (document(one | {"data": texts}), {})):
        answer = good(ask(app, *request))
        assert classes(answer.body, answer.headers) == [3, 7, 7, 5]
    assert good(ask(app, document(one | {"data": nested}))).body == answer.body


def test_a_big_picture_is_decoded_aside(app: FastAPI) -> None:
    noise = np.random.default_rng(1).integers(200, 256, (900, 700), np.uint8)
    noise[200:700, 300:400] = 0
    file = as_image(noise)
    assert len(file) > 64 * 1024
    answer = good(ask(app, *behind({"name": "image", "shape": [1], "datatype": "BYTES"}, elements(file))))
    assert len(classes(answer.body, answer.headers)) == 1


@pytest.mark.parametrize("count", [1, 2, 64, 65, 257, 1000])
def test_from_one_to_a_thousand_digits(app: FastAPI, count: int) -> None:
    wanted = [i * i % 10 for i in range(count)]
    pixels = digits(*wanted).reshape(-1, 28, 28, 1)
    for request in ((document(tensor(pixels)), {}), binary(pixels, parameters={"binary_data_output": True})):
        answer = good(ask(app, *request))
        assert classes(answer.body, answer.headers) == wanted


# -- outputs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("all_binary", [None, True, False])
@pytest.mark.parametrize("this_binary", [None, True, False])
def test_which_output_goes_as_binary_data(app: FastAPI, all_binary: bool | None, this_binary: bool | None) -> None:
    parameters = {} if all_binary is None else {"binary_data_output": all_binary}
    one = {"name": "probabilities"} | ({} if this_binary is None else {"parameters": {"binary_data": this_binary}})
    answer = good(ask(app, document(tensor(PIXELS), parameters=parameters, outputs=[one])))
    is_binary = bool(all_binary if this_binary is None else this_binary)
    assert (LENGTH.lower() in answer.headers) == is_binary
    kind = "application/octet-stream" if is_binary else "application/json"
    assert answer.headers["content-type"] == kind
    found = outputs(answer.body, answer.headers)["probabilities"].values
    assert np.array_equal(found.astype(np.float32), expected(app))


def test_without_outputs_all_are_meant(app: FastAPI) -> None:
    for more in ({}, {"outputs": []}):
        assert list(outputs(*parts(good(ask(app, document(tensor(PIXELS), **more)))))) == ["probabilities"]
        both = outputs(*parts(good(ask(app, document(tensor(PIXELS), **more), path=BOTH))))
        assert list(both) == ["probabilities", "lecture_output"]


@pytest.mark.parametrize("served_has_it", [True, False])
def test_a_canary_answers_with_the_outputs_that_it_has(tmp_path: Path, served_has_it: bool) -> None:
    """Only requests that name the lecture's output are restricted to versions that have it."""
    for with_it, promote in ((served_has_it, True), (not served_has_it, False)):
        (publish_with_lecture_output if with_it else publish)(tmp_path, promote=promote)
    RepositoryWriter(tmp_path).start_rollout(
        "digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1)
    )
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite"))
    asyncio.run(app.state.context.watcher.look())
    all_of_canary = ["probabilities"] if served_has_it else ["probabilities", "lecture_output"]

    def answered(*asked: str, **more: Any) -> tuple[str, list[str]]:
        named = {"outputs": [{"name": name} for name in asked]} if asked else {}
        answer = good(ask(app, document(tensor(PIXELS), **named, **more)))
        head = answer.body[: int(answer.headers.get(LENGTH.lower(), len(answer.body)))]
        return json.loads(head)["model_version"], list(outputs(*parts(answer)))

    assert answered() == answered(outputs=[]) == ("2", all_of_canary)
    assert answered(parameters={"binary_data_output": True}) == ("2", all_of_canary)
    assert answered("probabilities") == ("2", ["probabilities"])
    raw = good(ask(app, PIXELS.tobytes(), {LENGTH: "0"}))
    assert list(outputs(*parts(raw))) == all_of_canary
    asked = document(tensor(PIXELS), outputs=[{"name": "lecture_output"}])
    if served_has_it:
        assert answered("lecture_output") == ("1", ["lecture_output"])
        assert answered("probabilities", "lecture_output") == ("1", ["probabilities", "lecture_output"])
    else:
        refused = ask(app, asked)
        check_error(refused.status, refused.headers, refused.body, 400, "this model has probabilities")


def parts(answer: Answer) -> tuple[bytes, dict[str, str]]:
    return answer.body, answer.headers


@pytest.mark.parametrize("first", ["json", "binary"])
@pytest.mark.parametrize("second", ["json", "binary"])
@pytest.mark.parametrize("names", [["probabilities", "lecture_output"], ["lecture_output", "probabilities"]])
def test_both_outputs_in_any_order_and_form(app: FastAPI, names: list[str], first: str, second: str) -> None:
    asked = [
        {"name": name, "parameters": {"binary_data": form == "binary"}}
        for name, form in zip(names, (first, second), strict=True)
    ]
    found = outputs(*parts(good(ask(app, document(tensor(PIXELS), outputs=asked), path=BOTH))))
    assert list(found) == names
    model = app.state.context.engine.served("both").model
    assert np.array_equal(found["probabilities"].values.astype(np.float32), model.predict(PIXELS))
    cells = found["lecture_output"]
    assert (cells.datatype, cells.shape) == ("FP32", [10, 10, 10, 1])
    assert np.array_equal(cells.values.astype(np.float32), model.lecture_output(PIXELS))


def test_the_lecture_s_output_alone_and_of_many_digits(app: FastAPI) -> None:
    pixels = digits(*range(10)).repeat(40, axis=0)  # too many for one run, and for one piece of JSON
    asked = document(tensor(pixels.reshape(-1, 784)), outputs=[{"name": "lecture_output"}])
    found = outputs(*parts(good(ask(app, asked, path=BOTH))))
    assert list(found) == ["lecture_output"]
    cells = found["lecture_output"].values.astype(np.float32)
    assert np.array_equal(cells, app.state.context.engine.served("both").model.lecture_output(pixels))


def test_outputs_that_are_not_requested_are_not_computed(app: FastAPI) -> None:
    """Requests for probabilities only share batches with /predict, and get no other output."""
    answer = good(ask(app, document(tensor(PIXELS), outputs=[{"name": "probabilities"}]), path=BOTH))
    assert list(outputs(*parts(answer))) == ["probabilities"]
    refused = ask(app, document(tensor(PIXELS), outputs=[{"name": "lecture_output"}]))
    check_error(refused.status, refused.headers, refused.body, 400, "this model has probabilities")


@pytest.mark.parametrize(("count", "shape"), [(1, [2, 1]), (3, [2, 3]), (10, [2, 10]), (99, [2, 10]), (2**40, [2, 10])])
@pytest.mark.parametrize("in_binary", [False, True])
def test_classification(app: FastAPI, count: int, shape: list[int], in_binary: bool) -> None:
    pixels = digits(7, 2)
    pixels[0, 0, 4] = 200  # the second likeliest
    asked = [{"name": "probabilities", "parameters": {"classification": count, "binary_data": in_binary}}]
    found = outputs(*parts(good(ask(app, document(tensor(pixels), outputs=asked)))))["probabilities"]
    assert (found.datatype, found.shape) == ("BYTES", shape)
    values = expected(app, pixels)
    for row, texts in zip(values, found.values.tolist(), strict=True):
        best = np.argsort(-row, kind="stable")[: shape[1]]
        assert texts == [f"{row[i]:f}:{i}:{i}" for i in best]
    assert [text.split(":")[1] for text in found.values[0, :2]] == ["7", "4"][: shape[1]]


def test_classification_0_means_none_and_cells_have_no_labels(app: FastAPI) -> None:
    asked = [{"name": "probabilities", "parameters": {"classification": 0}}]
    assert outputs(*parts(good(ask(app, document(tensor(PIXELS), outputs=asked)))))["probabilities"].datatype == "FP32"
    asked = [{"name": "lecture_output", "parameters": {"classification": 2}}]
    found = outputs(*parts(good(ask(app, document(tensor(digits(3)), outputs=asked), path=BOTH))))["lecture_output"]
    assert found.values.tolist() == [["0.100000:30", "0.100000:31"]]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("in_binary", [False, True])
@pytest.mark.parametrize("count", [1, 300])
def test_compressed_answers(app: FastAPI, coding: str, in_binary: bool, count: int) -> None:
    pixels = digits(*WANTED).repeat(count, axis=0)[:count]
    body = document(tensor(pixels), parameters={"binary_data_output": in_binary})
    plain, packed = good(ask(app, body)), good(ask(app, body, {"Accept-Encoding": coding}))
    assert packed.headers["content-encoding"] == coding
    unpack = gzip.decompress if coding == "gzip" else zlib.decompress
    assert unpack(packed.body) == plain.body
    assert packed.headers.get(LENGTH.lower()) == plain.headers.get(LENGTH.lower())
    assert "content-encoding" not in plain.headers


def test_headers_that_come_twice(server: Server) -> None:
    """They count as one, their values joined by a comma (RFC 9110, 5.2)."""
    body = document(tensor(digits(*[3] * 200)))
    answer = server.client.post(INFER, content=body, headers=[("Accept-Encoding", "gzip"), ("Accept-Encoding", "br")])
    assert answer.headers["content-encoding"] == "gzip"
    lengths = [(LENGTH, str(len(body))), (LENGTH, "20")]
    refused = server.client.post(INFER, content=body, headers=lengths)
    check_error(refused.status_code, refused.headers, refused.content, 400, f"{len(body)},20")


def test_errors_are_never_compressed(app: FastAPI) -> None:
    refused = ask(app, b"hello", {"Accept-Encoding": "gzip"})
    check_error(refused.status, refused.headers, refused.body, 400)
    assert "content-encoding" not in refused.headers


# -- the rest of the document -----------------------------------------------------------------------------------


def test_the_answer_names_model_and_version(app: FastAPI) -> None:
    answer = good(ask(app, document(tensor(PIXELS)))).json()
    assert list(answer) == ["model_name", "model_version", "outputs"]
    assert (answer["model_name"], answer["model_version"]) == ("digits", "2")
    shifted = good(ask(app, document(tensor(PIXELS)), path="/v2/models/shifted/infer"))
    assert shifted.json()["model_name"] == "shifted"
    assert classes(*parts(shifted)) == [(value + 1) % 10 for value in WANTED]


@pytest.mark.parametrize("request_id", ["42", "x" * 1000, 'é"\\\n\0', "🙂"])
def test_the_id_comes_back(app: FastAPI, request_id: str) -> None:
    assert good(ask(app, document(tensor(PIXELS), id=request_id))).json()["id"] == request_id


@pytest.mark.parametrize("none", ["", None])
def test_no_id_is_none(app: FastAPI, none: str | None) -> None:
    assert "id" not in good(ask(app, document(tensor(PIXELS), id=none))).json()


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"priority": 1, "timeout": 5, "sequence_id": 7, "sequence_start": True, "sequence_end": False}},
        {"parameters": {"sequence_id": "seven", "note": "x", "half": 0.5, "deep": {"er": [None]}}},
        {"parameters": {}},
        {"parameters": None},
        {"model_name": "other", "model_version": "9", "surprise": [1]},
    ],
)
def test_unsupported_fields_are_ignored(app: FastAPI, more: dict[str, Any]) -> None:
    one = tensor(PIXELS, parameters={"content_type": "np", "binary": 1}, surprise=1)
    asked = [{"name": "probabilities", "parameters": {"content_type": "np"}, "data": []}]
    assert classes(*parts(good(ask(app, document(one, outputs=asked, **more))))) == WANTED


# -- refusals ---------------------------------------------------------------------------------------------------


def json_with(**changes: Any) -> bytes:
    return document(tensor(PIXELS, **changes))


def wanting(*asked: Any) -> bytes:
    return document(tensor(PIXELS), outputs=list(asked))


def with_parameters(**parameters: Any) -> Any:
    return {"name": "probabilities", "parameters": parameters}


HEAD = document(tensor(PIXELS, data=None, parameters={"binary_data_size": 7840}))
ONE_IMAGE = {"name": "image", "shape": [1], "datatype": "BYTES"}
BAD: dict[str, tuple[bytes, dict[str, str], str]] = {
    "nothing": (b"", {}, "empty"),
    "no JSON": (b"hello", {}, "not JSON"),
    "cut JSON": (json_with()[:-1], {}, "not JSON"),
    "two documents": (json_with() * 2, {}, "not JSON"),
    "NaN": (json_with(data=[float("nan")] * 7840), {}, "not JSON"),
    "Infinity": (json_with(shape=[float("inf")]), {}, "not JSON"),
    "invalid UTF-8": (b'{"id": "\xff", "inputs": []}', {}, "not JSON"),
    "lone surrogate": (b'{"id": "\\ud800", "inputs": []}', {}, "not JSON"),
    "a huge number": (b'{"inputs": [%s]}' % (b"9" * 5000), {}, "not JSON"),
    "deep": (b'{"inputs": %s%s}' % (b"[" * 100_000, b"]" * 100_000), {}, "not JSON"),
    "deep, but read": (b'{"inputs": %s%s}' % (b"[" * 500, b"]" * 500), {}, "list of objects"),
    "a list": (b"[]", {}, "must be an object"),
    "a number": (b"5", {}, "must be an object"),
    "null": (b"null", {}, "must be an object"),
    "no inputs": (b"{}", {}, "inputs must be a list"),
    "inputs no list": (b'{"inputs": {}}', {}, "inputs must be a list"),
    "inputs empty": (document(), {}, "exactly one input"),
    "input no object": (document([1]), {}, "list of objects"),
    "no name": (json_with(name=None), {}, "must have a name"),
    "name a number": (json_with(name=5), {}, "must have a name"),
    "unknown input": (json_with(name="x" * 10_000), {}, "send pixels (UINT8) or image (BYTES)"),
    "input twice": (document(tensor(PIXELS), tensor(PIXELS)), {}, "same name"),
    "both inputs": (document(tensor(PIXELS), ONE_IMAGE | {"data": [""]}), {}, "either pixels or image"),
    "one more": (document(tensor(PIXELS), tensor(PIXELS, name="mask")), {}, "no input 'mask'"),
    "no shape": (json_with(shape=None), {}, "shape of pixels"),
    "FP32": (json_with(datatype="FP32"), {}, "is FP32; it must be UINT8"),
    "no datatype": (json_with(datatype=None), {}, "is not named; it must be UINT8"),
    "datatype of two lines": (json_with(datatype="a\nb"), {}, r"is 'a\nb'; it must be UINT8"),
    "datatype empty": (json_with(datatype=""), {}, "is ''; it must be UINT8"),
    "datatype a number": (json_with(datatype=5), {}, "is not a string; it must be UINT8"),
    "no data": (json_with(data=None), {}, "has no data"),
    "data and bytes": (json_with(parameters={"binary_data_size": 0}), {}, "both data and binary_data_size"),
    "negative dimension": (json_with(shape=[-10, 784]), {}, "at least one digit"),
    "the lowest dimension": (json_with(shape=[-(2**63), 784]), {}, "is [-9223372036854775808, 784]; send at least one"),
    "shape of fewer": (json_with(shape=[9, 784]), {}, "requires 7056"),
    "shape of more": (json_with(shape=[11, 784]), {}, "requires 8624"),
    "a value too large": (json_with(data=[256] * 7840), {}, "data[0] of pixels is 256"),
    "true among the data": (json_with(data=[0] * 7839 + [True]), {}, "data[7839] of pixels is true or false"),
    "false among the data": (json_with(data=[0] * 7839 + [False]), {}, "data[7839] of pixels is true or false"),
    "divided by 255": (json_with(data=[0.5] * 7840), {}, "not divided by 255"),
    "id a number": (document(tensor(PIXELS), id=42), {}, "id must be a string"),
    "parameters a list": (document(tensor(PIXELS), parameters=[]), {}, "must be an object"),
    "input parameters a list": (json_with(parameters=[1]), {}, "must be an object"),
    "the request in shared memory": (
        document(tensor(PIXELS), parameters={"shared_memory_region": "x"}),
        {},
        "The request uses shared memory",
    ),
    "shared memory": (json_with(parameters={"shared_memory_region": "x"}), {}, "shared memory"),
    "output in shared memory": (wanting(with_parameters(shared_memory_region="x")), {}, "shared memory"),
    "outputs no list": (document(tensor(PIXELS), outputs="probabilities"), {}, "outputs must be a list"),
    "outputs an object": (document(tensor(PIXELS), outputs={}), {}, "outputs must be a list"),
    "output no object": (wanting("probabilities"), {}, "list of objects"),
    "output without name": (wanting({}), {}, "must have a name"),
    "unknown output": (wanting({"name": "logits"}), {}, "this model has probabilities"),
    "output twice": (wanting({"name": "probabilities"}, {"name": "probabilities"}), {}, "same name"),
    "binary_data text": (wanting(with_parameters(binary_data="yes")), {}, "binary_data must be true or false"),
    "binary_data 1": (wanting(with_parameters(binary_data=1)), {}, "binary_data must be true or false"),
    "binary_data_output null": (
        document(tensor(PIXELS), parameters={"binary_data_output": None}),
        {},
        "binary_data_output must be true or false",
    ),
    "classification text": (wanting(with_parameters(classification="3")), {}, "classification must be"),
    "classification -1": (wanting(with_parameters(classification=-1)), {}, "classification must be"),
    "classification true": (wanting(with_parameters(classification=True)), {}, "classification must be"),
    "classification 1.5": (wanting(with_parameters(classification=1.5)), {}, "classification must be"),
    **{
        f"header {value!r}": (HEAD + PIXELS.tobytes(), {LENGTH: value}, "Inference-Header-Content-Length is")
        for value in ("x", "-1", "+5", "1.5", "1e2", " ", "0x10", "\xb2", "9" * 30, "99999", "5, 5", "")
    },
    "header empty": (HEAD + PIXELS.tobytes(), {LENGTH: ""}, "is ''; it must be"),
    "header too short": (HEAD + PIXELS.tobytes(), {LENGTH: "20"}, "not JSON"),
    "header too long": (HEAD + PIXELS.tobytes(), {LENGTH: str(len(HEAD) + 1)}, "not JSON"),
    "no header": (HEAD + PIXELS.tobytes(), {}, "not JSON"),
    "header of all": (HEAD, {LENGTH: str(len(HEAD))}, "at most 0, the number of bytes"),
    "raw but JSON": (HEAD + PIXELS.tobytes(), {LENGTH: "0"}, "784 bytes per digit"),
    "raw, nothing": (b"", {LENGTH: "0"}, "784 bytes per digit"),
    "raw, half a digit": (bytes(784 + 392), {LENGTH: "0"}, "784 bytes per digit"),
    "bytes behind": (HEAD + PIXELS.tobytes() + b"x", {LENGTH: str(len(HEAD))}, "1 byte more"),
    "bytes behind JSON": (json_with() + bytes(9), {LENGTH: str(len(json_with()))}, "9 bytes more"),
    **{
        f"binary_data_size {size!r}": (
            body := document(tensor(PIXELS, data=None, parameters={"binary_data_size": size})) + PIXELS.tobytes(),
            {LENGTH: str(len(body) - 7840)},
            says,
        )
        for size, says in (
            (-1, "whole number"),
            (7841, "whole number"),
            (2**70, "whole number"),
            ("7840", "whole number"),
            (7840.0, "whole number"),
            (True, "whole number"),
            ([], "whole number"),
            (7839, "1 byte more"),
            (0, "7840 bytes more"),
        )
    },
    "bytes for a smaller shape": (*binary(PIXELS.reshape(-1, 784)[:, :783]), "shape of pixels"),
    "bytes and shape differ": (*behind(tensor(PIXELS[:9], data=None), PIXELS.tobytes()), "requires 7056"),
    "image UINT8": (document(ONE_IMAGE | {"datatype": "UINT8", "data": [""]}), {}, "must be BYTES"),
    "image of two axes": (document(ONE_IMAGE | {"shape": [1, 2], "data": [""]}), {}, "shape of image"),
    "image no base64": (document(ONE_IMAGE | {"data": ["not base64!"]}), {}, "not base64"),
    "image of nothing": (document(ONE_IMAGE | {"data": []}), {}, "0 elements"),
    "image bytes cut": (*behind(ONE_IMAGE, elements(b"abc")[:-1]), "should have 3 bytes"),
    "image bytes more": (*behind(ONE_IMAGE, elements(b"abc", b"d")), "exactly 1 element,"),
    "gzip that is none": (json_with(), {"Content-Encoding": "gzip"}, "Content-Encoding"),
}


@pytest.mark.parametrize("name", BAD)
def test_rejection(app: FastAPI, name: str) -> None:
    body, headers, says = BAD[name]
    answer = ask(app, body, headers)
    check_error(answer.status, answer.headers, answer.body, 400, says)


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("header ' '", "header '\xb2'")])
def test_rejection_over_the_socket(server: Server, name: str) -> None:
    body, headers, says = BAD[name]
    answer = server.client.post(INFER, content=body, headers=headers)
    check_error(answer.status_code, answer.headers, answer.content, 400, says)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (413, document(tensor(np.zeros((1001, 784), np.uint8), data=[])), {}),
        (413, bytes(1001 * 784), {LENGTH: "0"}),
        (413, bytes(LIMITS["max_body_bytes"] + 1), {LENGTH: "0"}),
        (413, gzip.compress(bytes(LIMITS["max_body_bytes"] + 1)), {LENGTH: "0", "Content-Encoding": "gzip"}),
        (413, document(ONE_IMAGE | {"shape": [4], "data": [""] * 4}), {}),
        (415, document(ONE_IMAGE | {"data": [base64.b64encode(b"no picture").decode()]}), {}),
        (415, json_with(), {"Content-Encoding": "br"}),
    ],
)
def test_too_much_and_of_the_wrong_kind(strict_app: FastAPI, status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = ask(strict_app, body, headers)
    check_error(answer.status, answer.headers, answer.body, status)


def test_a_picture_that_is_wrong_is_rejected_as_predict_does(app: FastAPI) -> None:
    file = as_image(digit(3))
    for wrong in (b"", file[:40]):
        answer = ask(app, *behind(ONE_IMAGE, elements(wrong)))
        check_error(answer.status, answer.headers, answer.body, 400)


@pytest.mark.parametrize("place", [0, 2])
def test_the_wrong_one_of_several_pictures_is_named(app: FastAPI, place: int) -> None:
    files = [as_image(digit(3))] * 3
    for wrong, status in ((b"hello, this is text", 415), (files[0][:40], 400), (png_claiming(9000, 9000), 413)):
        sent = [wrong if i == place else file for i, file in enumerate(files)]
        answer = ask(app, *behind(ONE_IMAGE | {"shape": [3]}, elements(*sent)))
        check_error(answer.status, answer.headers, answer.body, status, f"image[{place}]: ")
        body = json.dumps({"instances": [{"b64": base64.b64encode(file).decode()} for file in sent]}).encode()
        answer = ask(app, body, path="/v1/models/digits:predict")
        assert answer.status == status
        assert answer.json()["error"].startswith(f"instances[{place}]: ")


def test_a_small_file_of_many_pixels_is_decoded_aside(app: FastAPI) -> None:
    """16 million pixels in a few kilobytes: other requests are answered meanwhile."""
    blank = Image.new("L", (3900, 3900), 255)
    blank.paste(0, (1500, 1000, 1900, 2900))
    file = as_image(blank)
    assert len(file) < 64 * 1024
    text = json.dumps({"instances": [{"b64": base64.b64encode(file).decode()}]}).encode()

    async def turns(path: str, body: bytes, headers: dict[str, str]) -> int:
        task, count = asyncio.ensure_future(acall(app, path=path, body=body, headers=headers)), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        assert (await task).status == 200
        return count

    assert asyncio.run(turns("/v1/models/digits:predict", text, {})) > 20
    assert asyncio.run(turns(INFER, *behind(ONE_IMAGE, elements(file)))) > 20


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [INFER, "/v2/models/digits/versions/2/infer"])
def test_another_method(app: FastAPI, method: str, path: str) -> None:
    answer = call(app, method, path)
    check_error(answer.status, answer.headers, answer.body, 405, "POST")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/", "/v2/health/live", "/v2/models/digits", "/v2/models/digits/ready", "/v2/models/stats"]
)
def test_head_is_get_without_its_body(server: Server, path: str) -> None:
    head, get = server.client.head(path), server.client.get(path)
    assert (head.status_code, head.content, get.status_code) == (200, b"", 200)
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.slow
@given(st.binary(max_size=200), st.text(max_size=30), st.sampled_from(["", "0", "5", "50"]))
def test_random_bytes_are_rejected(app: FastAPI, body: bytes, text: str, length: str) -> None:
    for rubbish in (body, text.encode(), json.dumps({"inputs": [{"name": "pixels", "shape": text}]}).encode()):
        answer = ask(app, rubbish, {LENGTH: length} if length else {})
        if answer.status != 200 or len(rubbish) % 784:
            check_error(answer.status, answer.headers, answer.body, 400)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "input.parameters"]),
    JSONS,
)
def test_any_json_in_any_place_is_answered_or_rejected(app: FastAPI, place: str, value: Any) -> None:
    one = tensor(digits(3))
    body: dict[str, Any] = {"inputs": [one], "outputs": [{"name": "probabilities"}], "parameters": {}}
    if place == "input.parameters":
        one["parameters"] = value
    elif place in one:
        one[place] = value
    else:
        body[place] = value
    answer = ask(app, json.dumps(body).encode())
    if answer.status != 200:
        check_error(answer.status, answer.headers, answer.body, 413 if answer.status == 413 else 400)
        assert answer.status == 400 or place == "shape"


# -- many at once, and elsewhere --------------------------------------------------------------------------------


def test_concurrent_requests_of_any_form_get_their_own_rows(app: FastAPI) -> None:
    async def all_at_once() -> list[Answer]:
        calls = []
        for i in range(120):
            pixels = digits(*[(i + j) % 10 for j in range(1 + i % 70)])
            body, headers = binary(pixels) if i % 2 else (document(tensor(pixels)), {})
            calls.append(acall(app, path=BOTH if i % 3 else INFER, body=body, headers=headers))
        return await asyncio.gather(*calls)

    for i, answer in enumerate(asyncio.run(all_at_once())):
        assert classes(*parts(good(answer))) == [(i + j) % 10 for j in range(1 + i % 70)]
    assert app.state.context.engine.admission.rows == 0


def test_a_full_queue_is_503_with_retry_after(models_dir: Path) -> None:
    app = create_app(Settings(models_dir=models_dir, feedback_path=models_dir / "f.sqlite", max_queue_rows=100))

    async def two_at_once() -> tuple[Answer, Answer]:
        big, small = bytes(784 * 5000), bytes(784)
        first = asyncio.ensure_future(acall(app, path=INFER, body=big, headers={LENGTH: "0"}))
        await until(lambda: app.state.context.engine.admission.rows)
        return await acall(app, path=INFER, body=small, headers={LENGTH: "0"}), await first

    refused, first = asyncio.run(two_at_once())
    check_error(refused.status, refused.headers, refused.body, 503, "Try again")
    assert refused.headers["retry-after"].isdigit()
    good(first)


def test_the_work_of_a_disconnected_client_is_cancelled(app: FastAPI) -> None:
    async def leave() -> None:
        gone = asyncio.Event()
        body = bytes(784 * 20_000)
        request = asyncio.ensure_future(acall(app, path=INFER, body=body, headers={LENGTH: "0"}, gone=gone))
        await until(lambda: app.state.context.engine.admission.rows)
        gone.set()
        await asyncio.wait([request], timeout=30)
        await until(lambda: not app.state.context.engine.admission.rows)

    asyncio.run(leave())


def test_the_documented_route_answers_as_the_direct_one_does(app: FastAPI) -> None:
    """Behind another application's routing the same handler runs as an ordinary FastAPI route."""
    mounted = FastAPI()
    mounted.state.context = app.state.context
    mounted.include_router(v2.router(v2.Infer(app.state.context)))
    mounted.add_exception_handler(DigitsError, on_digits_error)

    def routed(path: str, body: bytes, headers: dict[str, str]) -> Answer:
        async def with_id(scope: Any, receive: Any, send: Any) -> None:
            lease = Lease(app.state.context.budget, "-")
            await mounted(scope | {"request_id": b"x", "lease": lease, "caller": Client("-", "-")}, receive, send)

        return call(with_id, path=path, body=body, headers=headers)

    body, headers = binary(PIXELS, parameters={"binary_data_output": True})
    for path in (INFER, "/v2/models/digits/versions/2/infer", "/v2/models/digits/versions/stable/infer"):
        one, other = call(app, path=path, body=body, headers=headers), routed(path, body, headers)
        assert (one.status, one.body) == (other.status, other.body) == (200, one.body)
        of_middleware = {"x-request-id", "x-content-type-options"}
        assert {k: v for k, v in one.headers.items() if k not in of_middleware} == other.headers
    assert routed(INFER, b"hello", {}).status == 400


def test_answers_can_be_referred_to_afterwards(app: FastAPI) -> None:
    """Answers of this protocol are remembered for feedback and drift, like those of /predict."""
    answer = good(ask(app, document(tensor(digits(8, 6)), id="mine")))
    remembered = app.state.context.recent.find(answer.headers["x-request-id"].encode(), 1)
    assert remembered.model == "digits"
    assert remembered.probabilities.argmax() == 6
    assert np.array_equal(remembered.pixels, digit(6))


def test_calls_are_counted_under_one_route(app: FastAPI) -> None:
    """Callers must not be able to create entries by naming other models and versions."""
    before = call(app, "GET", "/metrics").body.count(b"/v2/models/")
    for i in range(20):
        ask(app, b"", path=f"/v2/models/x{i}/infer")
        ask(app, b"", path=f"/v2/models/digits/versions/{i}/infer")
    after = call(app, "GET", "/metrics").body
    assert b'route="/v2/models/{model}/infer"' in after
    assert b"x19" not in after
    assert after.count(b"/v2/models/") - before < 40
