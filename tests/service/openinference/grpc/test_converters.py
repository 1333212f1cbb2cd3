"""Messages to requests and answers to messages: every form of input and output, and every malformed request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb

from tests.support.bodies import as_image, on_paper
from tests.support.grpc_client import found, images, pixels, refused
from tests.support.models import digits, written
from tests.support.server import Server

WANTED = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
@pytest.mark.parametrize("count", [1, 2, 64, 65, 300, 1000])
def test_any_number_of_digits_in_any_shape(client: Any, count: int, shape: tuple[int, ...]) -> None:
    wanted = [value % 10 for value in range(count)]
    assert found(client.infer("digits", pixels(digits(*wanted).reshape(-1, *shape)))) == wanted


@pytest.mark.parametrize("version", ["", "2", "stable"])
def test_the_numbers_are_those_of_predict(client: Any, running: Server, version: str) -> None:
    array = digits(*WANTED)
    plain = running.client.post("/predict", json={"instances": array.tolist()}).json()["predictions"]
    result = client.infer("digits", pixels(array), model_version=version).as_numpy("probabilities")
    assert np.array_equal(result, np.array([one["probabilities"] for one in plain], np.float32))


@pytest.mark.parametrize("count", [1, 125])  # eight digits, and so many that they are taken up in a thread
def test_typed_contents(client: Any, count: int) -> None:
    wanted = WANTED * count
    array = digits(*wanted)
    one = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=array.shape)
    one.contents.uint_contents.extend(array.reshape(-1).tolist())
    answer = client._client_stub.ModelInfer(pb.ModelInferRequest(model_name="digits", inputs=[one]))
    probabilities = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(-1, 10)
    assert probabilities.argmax(axis=1).tolist() == wanted


def test_pictures(client: Any) -> None:
    files = [as_image(on_paper(ink)) for ink in written().values()]
    assert found(client.infer("digits", images(files))) == list(range(10))
    assert found(client.infer("digits", images(files, 10, 1))) == list(range(10))
    one = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[10])
    one.contents.bytes_contents.extend(files)
    answer = client._client_stub.ModelInfer(pb.ModelInferRequest(model_name="digits", inputs=[one]))
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(-1, 10).argmax(axis=1).tolist() == list(
        range(10)
    )


def test_classification(client: Any) -> None:
    outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]
    answer = client.infer("digits", pixels(digits(4, 2)), outputs=outputs)
    classes = answer.as_numpy("probabilities")
    assert classes.shape == (2, 3)
    for row, wanted in zip(classes, b"42", strict=True):
        value, index, label = row[0].split(b":")
        assert float(value) == pytest.approx(1, abs=1e-5)
        assert (index, label) == (bytes([wanted]), bytes([wanted]))


ONE = digits(3)
INVALID = "StatusCode.INVALID_ARGUMENT"


def bare(array: np.ndarray[Any, Any], name: str = "pixels", datatype: str = "UINT8", data: bytes | None = None) -> Any:
    """An input that tritonclient would not make."""
    one = triton.InferInput(name, list(array.shape), datatype)
    one._raw_content = array.tobytes() if data is None else data
    return one


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "exactly one input"),
        ([bare(ONE), bare(ONE, "image", "BYTES")], "exactly one input"),
        ([bare(ONE, "image0")], "no input 'image0'"),
        ([bare(ONE, datatype="FP32")], "must be UINT8"),
        ([bare(ONE, datatype="")], "is ''; it must be UINT8"),
        ([bare(ONE, datatype="a\nb")], r"is 'a\nb'; it must be UINT8"),
        ([bare(ONE, "image")], "must be BYTES"),
        ([bare(ONE[0])], "[28, 28]"),
        ([bare(ONE[:0])], "at least one"),
        ([bare(ONE, data=b"")], "0 bytes"),
        ([bare(ONE, data=ONE.tobytes()[:-1])], "783 bytes"),
        ([bare(ONE, data=ONE.tobytes() + b"x")], "785 bytes"),
        ([bare(np.zeros(2), "image", "BYTES", data=b"\x05\0\0\0abc")], "Element 0"),
        ([bare(np.zeros(1), "image", "BYTES", data=b"\x05\0\0\0hello")], "picture"),
    ],
)
def test_bad_requests(client: Any, inputs: list[Any], says: str) -> None:
    assert says in refused(client, INVALID, inputs)


def test_a_negative_axis(client: Any) -> None:
    one = bare(ONE)
    one._input.shape[:] = [-1, 28, 28]
    assert "at least one" in refused(client, INVALID, [one])


def test_bad_outputs(client: Any) -> None:
    inputs = pixels(ONE)
    assert "no output 'more'" in refused(client, INVALID, inputs, outputs=[triton.InferRequestedOutput("more")])
    twice = [triton.InferRequestedOutput("probabilities")] * 2
    assert "same name" in refused(client, INVALID, inputs, outputs=twice)


def test_shared_memory_is_rejected_wherever_it_is_named(client: Any) -> None:
    region = pb.InferParameter(string_param="x")
    request = pb.ModelInferRequest(model_name="digits", raw_input_contents=[ONE.tobytes()])
    one = request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 784])
    output = request.outputs.add(name="probabilities")
    for whose, says in ((request, "The request"), (one, "Input pixels"), (output, "Output probabilities")):
        whose.parameters["shared_memory_region"].CopyFrom(region)
        with pytest.raises(triton._client.grpc.RpcError) as error:
            client._client_stub.ModelInfer(request)
        del whose.parameters["shared_memory_region"]
        assert error.value.code().name == "INVALID_ARGUMENT"
        assert error.value.details().startswith(says)
        assert "shared memory" in error.value.details()


@pytest.mark.parametrize(
    ("field", "values", "says"),
    [
        ("uint_contents", [256, *[0] * 783], "data[0] of pixels is 256"),
        ("uint_contents", [0] * 783, "783"),
        ("uint_contents", [], "0 bytes"),
        ("int_contents", [0] * 784, "int_contents"),
        ("fp32_contents", [0.0] * 784, "fp32_contents"),
        ("bytes_contents", [b"\0" * 784], "bytes_contents"),
    ],
)
def test_bad_typed_contents(client: Any, field: str, values: list[Any], says: str) -> None:
    one = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])
    getattr(one.contents, field).extend(values)
    with pytest.raises(triton._client.grpc.RpcError) as error:
        client._client_stub.ModelInfer(pb.ModelInferRequest(model_name="digits", inputs=[one]))
    assert error.value.code().name == "INVALID_ARGUMENT"
    assert says in error.value.details()
