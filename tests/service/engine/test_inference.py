"""One way to an answer for every protocol: each counts, times and remembers a request in the same way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from fastapi import FastAPI
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import service_pb2

from service.app import create_app
from service.errors import NoSuchModel
from service.openinference.grpc.messages import message
from service.openinference.grpc.servicer import Caller, Servicer
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from service.telemetry.statistics import FAIL, INPUT_NS, LAST_MS, OUTPUT_NS, SUCCESS, SUCCESS_NS
from tests.support.asgi import acall, until
from tests.support.bodies import as_json
from tests.support.grpc_client import address
from tests.support.models import card_for, classifier, digit, digits, publish
from tests.support.server import Server
from tests.support.v2 import INFER, document, tensor

Pixels = NDArray[Any]

V1 = "/v1/models/digits:predict"
JSON = {"Content-Type": "application/json"}
BAD_INK = 77


def fails_on_bad_ink() -> bytes:
    """A classifier that fails when run on a batch whose brightest pixel is BAD_INK: a Gather index out of bounds."""
    model = onnx.load_from_string(classifier())
    graph = model.graph
    steps = [
        helper.make_node("ReduceMax", ["floats"], ["brightest"], keepdims=0),
        helper.make_node("Equal", ["brightest", "bad"], ["is_bad"]),
        helper.make_node("Cast", ["is_bad"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["zero"]),
        helper.make_node("Add", ["floats", "zero"], ["checked"]),
    ]
    for place, step in enumerate(steps, 1):
        graph.node.insert(place, step)
    graph.node[len(steps) + 1].input[0] = "checked"
    graph.initializer.append(numpy_helper.from_array(np.array(BAD_INK, np.float32), "bad"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "table"))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


# -- in this process --------------------------------------------------------------------------------------------


async def fast_path(app: FastAPI, pixels: Pixels, request_id: str) -> int:
    statuses: list[int] = []
    headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
    assert app.fast_path.take(headers, as_json(pixels), lambda status, *_: statuses.append(status))  # type: ignore[attr-defined]
    await until(lambda: statuses)
    return statuses[0]


def over_asgi(path: str, encode: Callable[[Pixels], bytes]) -> Callable[[FastAPI, Pixels, str], Awaitable[int]]:
    async def ask(app: FastAPI, pixels: Pixels, request_id: str) -> int:
        headers = JSON | {"X-Request-Id": request_id}
        return (await acall(app, path=path, body=encode(pixels), headers=headers)).status

    return ask


async def over_grpc(app: FastAPI, pixels: Pixels, request_id: str) -> int:
    request = message("ModelInferRequest")(model_name="digits")
    one = request.inputs.add(name="pixels", datatype="UINT8", shape=pixels.shape)
    one.contents.uint_contents.extend(pixels.ravel().tolist())
    try:
        answer = await Servicer(app.state.context).ModelInfer(
            request, Caller({}, request_id.encode(), perf_counter_ns())
        )
    except Exception as error:  # noqa: BLE001 - the gRPC server above the servicer makes an error status of it
        assert "Gather" in str(error)  # noqa: PT017
        return 500
    assert answer.model_version == "1"
    return 200


PROTOCOLS = {
    "/predict, fast path": fast_path,
    "/predict, ASGI": over_asgi("/predict", as_json),
    "/v1": over_asgi(V1, as_json),
    "/v2": over_asgi(INFER, lambda pixels: document(tensor(pixels))),
    "gRPC": over_grpc,
}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    data = fails_on_bad_ink()
    repository = RepositoryWriter(tmp_path)
    repository.promote("digits", repository.publish("digits", lambda _: data, card_for(data)))
    return create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite"))


def counts(app: FastAPI) -> list[int]:
    found: list[int] = app.state.context.engine.served().statistics.requests.get("digits 1", [0] * 9)
    return list(found)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_answer_is_counted_timed_and_remembered_once(app: FastAPI, name: str) -> None:
    assert asyncio.run(PROTOCOLS[name](app, digits(3, 5), "mine")) == 200
    found, context = counts(app), app.state.context
    assert (found[SUCCESS], found[FAIL]) == (1, 0)
    assert min(found[LAST_MS], found[OUTPUT_NS]) > 0
    assert found[INPUT_NS] > 2000  # decoding two digits takes microseconds, gathering a batch a fraction of one
    assert found[SUCCESS_NS] > found[INPUT_NS] + found[OUTPUT_NS]
    pixels, probabilities = context.recent.window("digits", 1)
    assert np.array_equal(pixels, digits(3, 5))
    assert probabilities.argmax(axis=1).tolist() == [3, 5]
    second = context.recent.find(b"mine", 1)
    assert second is not None
    assert np.array_equal(second.pixels, digit(5))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_model_that_fails_is_counted_as_a_failure_and_not_remembered(app: FastAPI, name: str) -> None:
    assert asyncio.run(PROTOCOLS[name](app, digit(3, ink=BAD_INK)[np.newaxis], "mine")) == 500
    found, context = counts(app), app.state.context
    assert (found[SUCCESS], found[FAIL], found[LAST_MS]) == (0, 1, 0)
    assert len(context.recent.window("digits", 1)[0]) == 0
    assert context.engine.admission.rows == 0
    assert asyncio.run(PROTOCOLS[name](app, digits(4), "mine")) == 200


def test_a_version_is_resolved_by_number_and_by_label(tmp_path: Path) -> None:
    """Without a version, the request is answered by the served one, of the default model if no model is named."""
    publish(tmp_path)
    publish(tmp_path, shift=1, name="shifted")
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite"))

    def answered(model: str | None, version: str) -> tuple[str, int]:
        inference = app.state.context.inference(b"mine")
        probabilities = asyncio.run(inference.predict(model, version, digits(3)))
        return inference.version.name, int(probabilities.argmax())

    assert {answered(None, version) for version in ("", "1", "stable")} == {("digits", 3)}
    assert {answered("shifted", version) for version in ("", "1", "stable")} == {("shifted", 4)}
    for model, version in (("nothing", ""), ("digits", "2"), ("digits", "canary"), ("shifted", "latest")):
        with pytest.raises(NoSuchModel):
            answered(model, version)


# -- over sockets -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    publish(root)
    with Server(root, grpc_port=0) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(address(running)) as made:
        yield made


def in_one_packet(server: Server, body: bytes) -> None:
    """Headers and body in one segment, as the fast path requires."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with server.socket() as connection, connection.makefile("rb") as stream:
        connection.sendall(head.encode() + body)
        assert stream.readline().split()[1] == b"200"


def typed(client: Any, pixels: Pixels) -> None:
    one = service_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=pixels.shape)
    one.contents.uint_contents.extend(pixels.ravel().tolist())
    client._client_stub.ModelInfer(service_pb2.ModelInferRequest(model_name="digits", inputs=[one]))


def posted(server: Server, path: str, body: bytes) -> None:
    answer = server.client.post(path, content=body, headers=JSON)
    assert answer.status_code == 200, answer.text


def input_ns(server: Server, ask: Callable[[], None]) -> float:
    """Median compute_input of five requests, in ns per request."""

    def counted() -> tuple[int, int]:
        [found] = server.client.get("/v2/models/digits/stats").json()["model_stats"]
        part = found["inference_stats"]["compute_input"]
        return part["count"], part["ns"]

    taken = []
    for _ in range(5):
        count, ns = counted()
        ask()
        after_count, after_ns = counted()
        assert after_count == count + 1
        taken.append(after_ns - ns)
    return median(taken)


@pytest.mark.parametrize("count", [1, 300])
def test_compute_input_means_the_same_for_every_protocol(running: Server, client: Any, count: int) -> None:
    """The same digits as numbers in text or varints take every protocol a similar time to decode."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    body, v2 = as_json(pixels), document(tensor(pixels))
    asks: dict[str, Callable[[], None]] = {
        "/predict, ASGI": lambda: posted(running, "/predict?", body),
        "/v1": lambda: posted(running, V1, body),
        "/v2": lambda: posted(running, INFER, v2),
        "gRPC": lambda: typed(client, pixels),
    }
    if count == 1:  # larger bodies do not arrive in one packet
        asks["/predict, fast path"] = lambda: in_one_packet(running, body)
    taken = {name: input_ns(running, ask) for name, ask in asks.items()}
    assert min(taken.values()) > count * 1000, taken  # a microsecond per digit: more than gathering the batch takes
    assert max(taken.values()) < 20 * min(taken.values()), json.dumps(taken)
