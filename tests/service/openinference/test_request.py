"""A body of the Open Inference Protocol: what is read of it, and the sentence for each way in which it can be wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from service.errors import BadRequest, PayloadTooLarge
from service.openinference.request import InferenceRequest, Limits, RequestedOutput, read
from tests.support.models import digits
from tests.support.v2 import LENGTH, behind, binary, document, elements, tensor

LIMITS = Limits(digits=5, pictures=2)
OUTPUTS = ["probabilities", "lecture_output"]
PIXELS = digits(3, 1, 4)
IMAGE = {"name": "image", "shape": [2], "datatype": "BYTES"}


def requested(body: bytes, header: str | bytes = b"", limits: Limits = LIMITS) -> InferenceRequest:
    return asyncio.run(read(body, header.encode() if isinstance(header, str) else header, OUTPUTS, limits))


def sent(body: bytes, headers: dict[str, str]) -> InferenceRequest:
    return requested(body, headers[LENGTH])


def refused(body: bytes, header: str | bytes = b"", error: type[Exception] = BadRequest) -> str:
    with pytest.raises(error) as raised:
        requested(body, header)
    sentence = str(raised.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


# -- what is read ---------------------------------------------------------------------------------------------------


def test_pixels_in_json() -> None:
    found = requested(document(tensor(PIXELS)))
    assert found.pixels is not None
    assert np.array_equal(found.pixels, PIXELS)
    assert (found.outputs, found.id, found.binary, found.pictures) == ([], None, False, [])


def test_pixels_behind_the_json_are_not_copied() -> None:
    body, headers = binary(PIXELS)
    found = sent(body, headers)
    assert found.pixels is not None
    assert np.array_equal(found.pixels, PIXELS)
    assert np.shares_memory(found.pixels, np.frombuffer(body, np.uint8))


def test_a_body_of_pixels_alone_asks_for_a_binary_answer() -> None:
    found = requested(PIXELS.tobytes(), "0")
    assert found.pixels is not None
    assert np.array_equal(found.pixels, PIXELS)
    assert found.binary
    assert found.requested(OUTPUTS) == [RequestedOutput(name, binary=True) for name in OUTPUTS]


def test_pictures_behind_the_json_and_in_base64() -> None:
    files = [b"\x89PNG one", b""]
    assert [bytes(one) for one in sent(*behind(IMAGE, elements(*files))).pictures] == files
    texts = [base64.b64encode(file).decode() for file in files]
    found = requested(document(IMAGE | {"data": texts}))
    assert ([bytes(one) for one in found.pictures], found.pixels) == (files, None)


@pytest.mark.parametrize("blanks", ["{}", " {}", "{}\t", " \t{}  ", "000{}"])
def test_the_length_may_have_blanks_around_it_and_zeros_before_it(blanks: str) -> None:
    body, headers = binary(PIXELS)
    assert requested(body, blanks.format(headers[LENGTH])).pixels is not None


def test_the_length_of_the_whole_body_is_the_same_as_none() -> None:
    body = document(tensor(PIXELS), id="x")
    assert requested(body, str(len(body))).id == requested(body).id == "x"


def test_outputs_with_their_parameters() -> None:
    named = [
        {"name": "lecture_output", "parameters": {"binary_data": True, "priority": 3}},
        {"name": "probabilities", "parameters": {"classification": 3, "binary_data": False}},
    ]
    found = requested(document(tensor(PIXELS), outputs=named, parameters={"binary_data_output": True}))
    assert found.outputs == [RequestedOutput("lecture_output", True, 0), RequestedOutput("probabilities", False, 3)]
    assert found.requested(["others"]) == found.outputs
    assert found.names_output("lecture_output")
    assert not found.names_output("others")


def test_what_the_request_says_of_binary_outputs_holds_for_those_that_say_nothing() -> None:
    more = {"outputs": [{"name": "probabilities"}], "parameters": {"binary_data_output": True}}
    assert requested(document(tensor(PIXELS), **more)).outputs == [RequestedOutput("probabilities", True)]
    assert requested(document(tensor(PIXELS), parameters=more["parameters"])).requested(["one"]) == [
        RequestedOutput("one", True)
    ]


@pytest.mark.parametrize("nothing", [{"outputs": None}, {"parameters": None}, {"id": None}, {"parameters": {"a": 1}}])
def test_what_says_nothing_is_as_if_it_were_not_there(nothing: dict[str, Any]) -> None:
    found = requested(document(tensor(PIXELS), **nothing))
    assert (found.outputs, found.id, found.binary) == ([], None, False)


def test_no_output_at_all_is_every_output() -> None:
    assert [one.name for one in requested(document(tensor(PIXELS), outputs=[])).requested(OUTPUTS)] == OUTPUTS


def test_limits() -> None:
    body, headers = binary(digits(*range(5)))
    assert sent(body, headers).pixels is not None
    six = digits(*range(6))
    assert "5" in refused(document(tensor(six)), error=PayloadTooLarge)
    assert "5" in refused(six.tobytes(), "0", PayloadTooLarge)
    three = IMAGE | {"shape": [3], "data": ["", "", ""]}
    assert "3 pictures; the limit is 2" in refused(document(three), error=PayloadTooLarge)


# -- what is refused ------------------------------------------------------------------------------------------------

GOOD = tensor(PIXELS)
WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "The body is empty"),
    "no JSON": (b"{", "not JSON"),
    "a list": (b"[]", "must be an object"),
    "no inputs": (b"{}", "inputs must be a list of objects"),
    "inputs of null": (b'{"inputs": null}', "inputs must be a list of objects"),
    "no input": (document(), "exactly one input"),
    "a number for an input": (document(7), "inputs must be a list of objects"),
    "an input without a name": (document({"shape": [1]}), "Each of inputs must have a name"),
    "an input whose name is a number": (document(GOOD | {"name": 7}), "Each of inputs must have a name"),
    "an input that is none": (document(GOOD | {"name": "image_" * 20}), "There is no input 'image_image_"),
    "one input twice": (document(GOOD, GOOD), "Two of the inputs have the same name"),
    "both inputs": (document(GOOD, IMAGE | {"data": ["", ""]}), "exactly one input, either pixels or image"),
    "another datatype": (document(GOOD | {"datatype": "FP32"}), "datatype of pixels is FP32; it must be UINT8"),
    "no datatype": (document(tensor(PIXELS, datatype=None)), "not named; it must be UINT8"),
    "no shape": (document(tensor(PIXELS, shape=None)), "The shape of pixels"),
    "no data": (document(tensor(PIXELS, data=None)), "has no data; send data, or binary_data_size"),
    "data of null": (document(GOOD | {"data": None}), "has no data"),
    "data twice": (document(GOOD | {"parameters": {"binary_data_size": 0}}), "both data and binary_data_size"),
    "too few data": (document(GOOD | {"data": [0] * 7}), "pixels has 7 numbers of data; its shape [3, 28, 28]"),
    "bytes that are not there": (
        document(tensor(PIXELS, data=None) | {"parameters": {"binary_data_size": 2352}}),
        "a whole number of at most 0",
    ),
    "an id that is a number": (document(GOOD, id=7), "id must be a string"),
    "parameters that are none": (document(GOOD, parameters=[]), "The parameters of the request must be an object"),
    "parameters of an input that are none": (
        document(GOOD | {"parameters": 7}),
        "The parameters of Input pixels must be an object",
    ),
    "shared memory": (
        document(tensor(PIXELS, data=None) | {"parameters": {"shared_memory_region": "r"}}),
        "Input pixels uses shared memory, which is not supported",
    ),
    "shared memory for an output": (
        document(GOOD, outputs=[{"name": "probabilities", "parameters": {"shared_memory_region": "r"}}]),
        "Output probabilities uses shared memory",
    ),
    "shared memory for all": (document(GOOD, parameters={"shared_memory_region": "r"}), "The request uses shared"),
    "a flag of text": (document(GOOD, parameters={"binary_data_output": "yes"}), "must be true or false"),
    "a flag of a number": (
        document(GOOD, outputs=[{"name": "probabilities", "parameters": {"binary_data": 1}}]),
        "The parameter binary_data must be true or false",
    ),
    "outputs of text": (document(GOOD, outputs="probabilities"), "outputs must be a list of objects"),
    "an output that is none": (
        document(GOOD, outputs=[{"name": "logits"}]),
        "There is no output 'logits'; this model has probabilities and lecture_output",
    ),
    "an output twice": (document(GOOD, outputs=[{"name": "probabilities"}] * 2), "Two of the outputs"),
    **{
        f"classes of {classes!r}": (
            document(GOOD, outputs=[{"name": "probabilities", "parameters": {"classification": classes}}]),
            "classification must be a whole number, 0 or more",
        )
        for classes in (-1, 1.0, "3", True, None)
    },
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(what: str) -> None:
    body, says = WRONG[what]
    assert says in refused(body)


@pytest.mark.parametrize(
    "length", ["-1", "+5", "1.0", "1e3", "abc", "٣", "9" * 13, "99999", " ", "1 2", "0x10", "ÿ" * 30]
)
def test_a_length_that_is_none(length: str) -> None:
    body, _ = binary(PIXELS)
    sentence = refused(body, length.encode("utf-8"))
    assert "must be the length of the JSON" in sentence
    assert str(len(body)) in sentence
    assert len(sentence) < 200


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_length_that_ends_beside_the_json(wrong: int) -> None:
    body, headers = binary(PIXELS)
    assert "not JSON" in refused(body, str(int(headers[LENGTH]) + wrong))


@pytest.mark.parametrize("size", [-1, 10**9, 2353, 1.0, "2352", True, [2352]])
def test_a_size_of_binary_data_that_is_none(size: Any) -> None:
    head = json.dumps({"inputs": [tensor(PIXELS, data=None) | {"parameters": {"binary_data_size": size}}]}).encode()
    assert "binary_data_size of pixels must be a whole number of at most 2352" in refused(
        head + PIXELS.tobytes(), str(len(head))
    )


@pytest.mark.parametrize("extra", [1, 784])
def test_bytes_that_belong_to_no_input(extra: int) -> None:
    body, headers = binary(PIXELS)
    assert f"The body has {extra} byte" in refused(body + bytes(extra), headers[LENGTH])
    text = document(GOOD)
    assert f"The body has {extra} byte" in refused(text + bytes(extra), str(len(text)))


def test_too_few_bytes_for_the_shape() -> None:
    body, headers = behind(tensor(PIXELS, data=None), PIXELS.tobytes()[:-1])
    assert "2351 bytes of data; its shape [3, 28, 28] requires 2352" in refused(body, headers[LENGTH])


@pytest.mark.parametrize("size", [0, 1, 783, 785])
def test_a_body_of_pixels_alone_holds_whole_digits(size: int) -> None:
    assert "784 bytes per digit" in refused(bytes(size), "0")
