"""Inference over gRPC with Triton's own client, over a real port."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.bodies import as_image, on_paper
from tests.support.grpc_client import grpc_port
from tests.support.models import digit, digits, publish, written
from tests.support.refusals import LEAKS, LIMITS
from tests.support.server import Server
from tests.support.v2 import publish_with_lecture_output

WANTED = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def running(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    feedback = tmp_path_factory.mktemp("feedback") / "feedback.sqlite"
    with Server(models_dir, grpc_port=0, feedback_path=feedback) as server:
        yield server


@pytest.fixture(scope="module")
def address(running: Server) -> str:
    return f"127.0.0.1:{grpc_port(running)}"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as made:
        yield made


def pixels(array: np.ndarray[Any, Any], client: Any = triton) -> list[Any]:
    one = client.InferInput("pixels", list(array.shape), "UINT8")
    one.set_data_from_numpy(array)
    return [one]


def images(files: list[bytes], *shape: int) -> list[Any]:
    one = triton.InferInput("image", list(shape or (len(files),)), "BYTES")
    one.set_data_from_numpy(np.array(files, np.object_).reshape(shape or (len(files),)))
    return [one]


def found(result: Any) -> list[int]:
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    return [int(digit) for digit in probabilities.argmax(axis=1)]


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
@pytest.mark.parametrize("count", [1, 2, 64, 65, 300, 1000])
def test_any_number_of_digits_in_any_shape(client: Any, count: int, shape: tuple[int, ...]) -> None:
    wanted = [value % 10 for value in range(count)]
    assert found(client.infer("digits", pixels(digits(*wanted).reshape(-1, *shape)))) == wanted


def test_the_answer_says_who_gave_it(client: Any) -> None:
    answer = client.infer("digits", pixels(digits(7)[..., None]), request_id="42").get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("digits", "2", "42")
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [("probabilities", "FP32", [1, 10])]


@pytest.mark.parametrize("version", ["", "2", "stable"])
def test_the_numbers_are_those_of_predict(client: Any, running: Server, version: str) -> None:
    array = digits(*WANTED)
    plain = running.client.post("/predict", json={"instances": array.tolist()}).json()["predictions"]
    result = client.infer("digits", pixels(array), model_version=version).as_numpy("probabilities")
    assert np.array_equal(result, np.array([one["probabilities"] for one in plain], np.float32))


def test_another_model(client: Any) -> None:
    assert found(client.infer("shifted", pixels(digits(*WANTED)))) == [(value + 1) % 10 for value in WANTED]


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


def test_compressed_messages(client: Any) -> None:
    for algorithm in ("gzip", "deflate"):
        assert found(client.infer("digits", pixels(digits(*WANTED)), compression_algorithm=algorithm)) == WANTED


def test_callbacks(client: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for i in range(50):
        client.async_infer(
            "digits", pixels(digits(i % 10)), lambda result, error: answers.put((result, error)), request_id=str(i)
        )
    for _ in range(50):
        result, error = answers.get(timeout=30)
        assert error is None
        assert found(result) == [int(result.get_response().id) % 10]


def test_asyncio(address: str) -> None:
    async def many() -> list[list[int]]:
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready("digits")
            requests = [client.infer("digits", pixels(digits(i % 10), triton_aio)) for i in range(100)]
            return [found(result) for result in await asyncio.gather(*requests)]

    assert asyncio.run(many()) == [[i % 10] for i in range(100)]


def test_thirty_two_threads(address: str) -> None:
    def work(seed: int) -> bool:
        with triton.InferenceServerClient(address) as client:
            wanted = np.random.default_rng(seed).integers(0, 10, (20, 5)).tolist()
            return [found(client.infer("digits", pixels(digits(*values)))) for values in wanted] == wanted

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(work, range(32)))


def test_an_answer_is_remembered_for_feedback(client: Any, running: Server) -> None:
    client.infer("digits", pixels(digits(8)), request_id="grpc-eight")
    kept = running.client.post("/feedback", json={"request_id": "grpc-eight", "label": 8})
    assert (kept.status_code, kept.json()["predicted"]) == (201, 8)


# -- streams ----------------------------------------------------------------------------------------------------


def streamed(client: Any, requests: list[tuple[str, np.ndarray[Any, Any], str]]) -> list[tuple[Any, Any]]:
    """What comes back for (model, digits, id), in its order."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    try:
        for name, array, request_id in requests:
            client.async_stream_infer(name, pixels(array), request_id=request_id)
        return [answers.get(timeout=30) for _ in requests]
    finally:
        client.stop_stream()


def test_a_stream_answers_in_order(client: Any) -> None:
    answers = streamed(client, [("digits", digits(i % 10), str(i)) for i in range(300)])
    assert [error for _, error in answers] == [None] * 300
    assert [result.get_response().id for result, _ in answers] == [str(i) for i in range(300)]
    assert [found(result) for result, _ in answers] == [[i % 10] for i in range(300)]
    assert answers[0][0].get_response().parameters["triton_final_response"].bool_param


def test_a_refusal_does_not_end_a_stream(client: Any) -> None:
    answers = streamed(client, [("digits", digits(1), "a"), ("nothing", digits(2), "b"), ("digits", digits(3), "c")])
    assert found(answers[0][0]) == [1]
    assert "No model of that name" in answers[1][1].message()
    assert found(answers[2][0]) == [3]


# -- versions and labels ----------------------------------------------------------------------------------------


def test_versions_and_labels(tmp_path: Path) -> None:
    """Version 1 is served; 2, whose answers are one higher, is a canary that no request falls to by itself."""
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    publish(tmp_path, shift=2, promote=False)
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=0))
    with (
        Server(tmp_path, grpc_port=0) as server,
        triton.InferenceServerClient(f"127.0.0.1:{grpc_port(server)}") as client,
    ):
        while not client.is_model_ready("digits", "canary"):
            assert server.process.poll() is None
        for version, shift in (("", 0), ("1", 0), ("2", 1), ("stable", 0), ("canary", 1)):
            assert found(client.infer("digits", pixels(digits(4)), model_version=version)) == [4 + shift], version
        for version in ("3", "99"):
            refused(client, "StatusCode.NOT_FOUND", pixels(digits(4)), version=version)


def test_a_canary_answers_with_the_outputs_that_it_has(tmp_path: Path) -> None:
    """Only who names the lecture's output, which the canary has not, is kept with a version that has it."""
    publish_with_lecture_output(tmp_path)
    publish(tmp_path, promote=False)
    RepositoryWriter(tmp_path).start_rollout(
        "digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1)
    )
    with (
        Server(tmp_path, grpc_port=0) as server,
        triton.InferenceServerClient(f"127.0.0.1:{grpc_port(server)}") as client,
    ):
        while not client.is_model_ready("digits", "canary"):
            assert server.process.poll() is None
        for asked, version, names in (
            ([], "2", ["probabilities"]),
            (["probabilities"], "2", ["probabilities"]),
            (["lecture_output"], "1", ["lecture_output"]),
        ):
            wanted = [triton.InferRequestedOutput(name) for name in asked]
            answer = client.infer("digits", pixels(digits(4)), outputs=wanted).get_response()
            assert (answer.model_version, [one.name for one in answer.outputs]) == (version, names)


# -- refusals ---------------------------------------------------------------------------------------------------


def refused(client: Any, code: str, inputs: list[Any], name: str = "digits", version: str = "", **more: Any) -> str:
    with pytest.raises(InferenceServerException) as error:
        client.infer(name, inputs, version, **more)
    assert error.value.status() == code, error.value
    said = str(error.value.message())
    assert said.endswith(".")
    assert "\n" not in said
    assert not LEAKS.search(said.encode())
    return said


def bare(array: np.ndarray[Any, Any], name: str = "pixels", datatype: str = "UINT8", data: bytes | None = None) -> Any:
    """An input that tritonclient would not make."""
    one = triton.InferInput(name, list(array.shape), datatype)
    one._raw_content = array.tobytes() if data is None else data
    return one


ONE = digits(3)
INVALID = "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "exactly one input"),
        ([bare(ONE), bare(ONE, "image", "BYTES")], "exactly one input"),
        ([bare(ONE, "image0")], "no input 'image0'"),
        ([bare(ONE, datatype="FP32")], "must be UINT8"),
        ([bare(ONE, datatype="")], "is '', and must be UINT8"),
        ([bare(ONE, datatype="a\nb")], r"is 'a\nb', and must be UINT8"),
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
    assert "twice" in refused(client, INVALID, inputs, outputs=twice)


def test_shared_memory_is_refused_wherever_it_is_named(client: Any) -> None:
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


def test_unknown_models_and_versions(client: Any) -> None:
    assert "served: " in refused(client, "StatusCode.NOT_FOUND", pixels(ONE), "nothing")
    refused(client, "StatusCode.NOT_FOUND", pixels(ONE), "")
    assert "2 (stable)" in refused(client, "StatusCode.NOT_FOUND", pixels(ONE), version="1")


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


def test_what_is_no_message(address: str) -> None:
    grpc = triton._client.grpc
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff\xff\xff")
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/inference.GRPCInferenceService/SystemSharedMemoryStatus")(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_too_much(models_dir: Path, tmp_path: Path) -> None:
    limits = LIMITS | {"max_queue_rows": 1000}
    with (
        Server(models_dir, grpc_port=0, feedback_path=tmp_path / "f.sqlite", **limits) as server,
        triton.InferenceServerClient(f"127.0.0.1:{grpc_port(server)}") as client,
    ):
        full = "StatusCode.RESOURCE_EXHAUSTED"
        assert "1001 digits" in refused(client, full, pixels(np.zeros((1001, 784), np.uint8)))
        assert "pictures" in refused(client, full, images([as_image(digit(1))] * 4))
        with pytest.raises(InferenceServerException) as error:
            client.infer("digits", pixels(np.zeros((LIMITS["max_body_bytes"] // 784 + 1, 784), np.uint8)))
        assert error.value.status() == full
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        many = pixels(np.zeros((900, 784), np.uint8))
        for _ in range(20):
            client.async_infer("digits", many, lambda result, error: answers.put((result, error)))
        errors = [error for _, error in (answers.get(timeout=30) for _ in range(20)) if error]
        assert errors
        assert all(error.status() == "StatusCode.UNAVAILABLE" for error in errors)
        assert len(errors) < 20
