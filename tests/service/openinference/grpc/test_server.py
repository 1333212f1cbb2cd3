"""The gRPC server: concurrent calls and streams, limits, errors, request ids, workers, shutdown, start-up errors."""

from __future__ import annotations

import asyncio
import collections
import itertools
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from service.openinference.grpc.server import STREAM_CUT
from tests.support.bodies import as_image
from tests.support.grpc_client import address, code_of, found, images, pixels, refused
from tests.support.models import digit, digits
from tests.support.refusals import LIMITS
from tests.support.server import PATIENCE_S, ROOT, Server, environment, run_to_end
from tests.support.waiting import until
from tests.support.workers import worker_of

REQUESTS = "digits_request_duration_seconds_count"
WANTED = [3, 1, 4, 1, 5, 9, 2, 6]


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


def test_asyncio(running: Server) -> None:
    async def many() -> list[list[int]]:
        async with triton_aio.InferenceServerClient(address(running)) as client:
            assert await client.is_model_ready("digits")
            requests = [client.infer("digits", pixels(digits(i % 10), triton_aio)) for i in range(100)]
            return [found(result) for result in await asyncio.gather(*requests)]

    assert asyncio.run(many()) == [[i % 10] for i in range(100)]


def test_thirty_two_threads(running: Server) -> None:
    def work(seed: int) -> bool:
        with triton.InferenceServerClient(address(running)) as client:
            wanted = np.random.default_rng(seed).integers(0, 10, (20, 5)).tolist()
            return [found(client.infer("digits", pixels(digits(*values)))) for values in wanted] == wanted

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(work, range(32)))


# -- streams ----------------------------------------------------------------------------------------------------


def streamed(client: Any, requests: list[tuple[str, np.ndarray[Any, Any], str]]) -> list[tuple[Any, Any]]:
    """The answers to (model, digits, id), in order of arrival."""
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


def test_an_error_does_not_end_a_stream(client: Any) -> None:
    answers = streamed(client, [("digits", digits(1), "a"), ("nothing", digits(2), "b"), ("digits", digits(3), "c")])
    assert found(answers[0][0]) == [1]
    assert "No model of that name" in answers[1][1].message()
    assert found(answers[2][0]) == [3]


# -- errors and request ids -------------------------------------------------------------------------------------


def test_bytes_that_are_not_a_message(running: Server) -> None:
    with grpc.insecure_channel(address(running)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff\xff\xff")
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/inference.GRPCInferenceService/SystemSharedMemoryStatus")(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.slow
def test_too_much(models: Path, tmp_path: Path) -> None:
    limits = LIMITS | {"max_queue_rows": 1000}
    with (
        Server(models, grpc_port=0, feedback_path=tmp_path / "f.sqlite", **limits) as server,
        triton.InferenceServerClient(address(server)) as client,
    ):
        full = "StatusCode.RESOURCE_EXHAUSTED"
        assert "1001 digits" in refused(client, full, pixels(np.zeros((1001, 784), np.uint8)))
        assert "pictures" in refused(client, full, images([as_image(digit(1))] * 4))
        with pytest.raises(InferenceServerException) as error:
            client.infer("digits", pixels(np.zeros((LIMITS["max_body_bytes"] // 784 + 1, 784), np.uint8)))
        assert error.value.status() == full
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        many = pixels(np.zeros((900, 784), np.uint8))
        for _ in range(20):  # they wait for each other, as long as that takes less than a second
            client.async_infer("digits", many, lambda result, error: answers.put((result, error)))
        errors = [error for _, error in (answers.get(timeout=30) for _ in range(20)) if error]
        assert all(error.status() == "StatusCode.UNAVAILABLE" for error in errors)
        assert len(errors) < 20


def test_calls_are_counted_with_those_over_http(client: Any, running: Server) -> None:
    def line(rpc: str, status: int) -> str:
        labels = f'method="gRPC",route="/inference.GRPCInferenceService/{rpc}",status="{status}"'
        return f"digits_request_duration_seconds_count{{{labels}}}"

    def value(name: str) -> float:
        found = [one.rsplit(" ", 1) for one in running.client.get("/metrics").text.splitlines()]
        return sum(float(number) for key, number in found if key == name)

    lines = [line("ModelInfer", 200), line("ModelInfer", 404)]
    before = [value(one) for one in lines]
    client.infer("digits", pixels(digits(3)))
    assert code_of(client.infer, "nothing", pixels(digits(3))) == "NOT_FOUND"
    assert [value(one) for one in lines] == [number + 1 for number in before]


@pytest.mark.slow
@pytest.mark.parametrize("count", [9_000, 30])  # digits that take long to run, pictures that take long to read
def test_the_work_for_a_client_that_left_ends(models: Path, tmp_path: Path, count: int) -> None:
    """Sooner or later a client leaves in the middle of the work, and then not all of its digits are answered."""
    if count == 30:
        inputs = images([as_image(np.tile(digit(3), (100, 100)))] * count)
    else:
        inputs = pixels(np.zeros((count, 784), np.uint8))
    left_at_s = itertools.cycle((0.03, 0.06, 0.1, 0.2))
    with (
        Server(models, grpc_port=0, feedback_path=tmp_path / "f.sqlite") as server,
        triton.InferenceServerClient(address(server)) as client,
    ):

        def total(name: str, label: str = "") -> float:
            found = (line.rsplit(" ", 1) for line in server.client.get("/metrics").text.splitlines())
            return sum(float(number) for key, number in found if key.startswith(name) and label in key)

        def unfinished() -> bool:
            digits_before, left_before = total("digits_predictions_total"), total(REQUESTS, 'status="499"')
            call = client.async_infer("digits", inputs, lambda result, error: None)
            time.sleep(next(left_at_s))
            call.cancel()
            until(lambda: total("digits_queue_rows") == 0)
            left = total(REQUESTS, 'status="499"') > left_before
            return left and total("digits_predictions_total") < digits_before + count

        until(unfinished)


def test_every_answer_has_an_id(running: Server) -> None:
    with grpc.insecure_channel(address(running)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        _, answer = call.with_call(b"", metadata=[("x-request-id", "mine")])
        assert ("x-request-id", "mine") in [tuple(pair) for pair in answer.trailing_metadata()]
        ids = {dict(call.with_call(b"")[1].trailing_metadata())["x-request-id"] for _ in range(10)}
        assert len(ids) == 10


@pytest.mark.slow
def test_a_rejected_message_does_not_stay_in_memory(running: Server) -> None:
    """60 of 7 MB each: rejected messages are freed at once and not at the next, rare garbage collection.

    The heap that gRPC's pieces leave behind grows by steps, in all by some five messages' worth; it does not add up.
    """
    size = 7 * 2**20
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(size)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[9000, 784])
    resident = psutil.Process(running.process.pid).memory_info

    with grpc.insecure_channel(address(running)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        sizes = []
        for _ in range(60):
            with pytest.raises(grpc.RpcError, match="must be UINT8"):
                call(request.SerializeToString())
            sizes.append(resident().rss)
    assert sizes[-1] - sizes[4] < 8 * size  # of 55


# -- workers, shutdown, start-up --------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_share_the_port(models: Path) -> None:
    with Server(models, grpc_port=0, workers=2) as server:
        seen = set()
        for _ in range(500):
            options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
            with grpc.insecure_channel(address(server), options) as channel:
                live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
                live(b"", wait_for_ready=True, timeout=PATIENCE_S)
                seen.add(worker_of(server, server_port=int(address(server).rpartition(":")[2])))
            if len(seen) == 2:
                break
        assert len(seen) == 2
        code, _ = server.stop()
        assert code == 0


@pytest.mark.slow
def test_a_stopping_server_answers_running_calls(models: Path) -> None:
    with Server(models, grpc_port=0, drain_s=0) as server, triton.InferenceServerClient(address(server)) as client:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.async_infer("digits", pixels(digits(*[5] * 10_000)), lambda result, error: answers.put((result, error)))
        while "digits_queue_rows 0.0" in server.client.get("/metrics").text:
            assert answers.empty()
        server.process.send_signal(signal.SIGTERM)
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        assert (result.as_numpy("probabilities").argmax(axis=1) == 5).all()
        assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_an_open_stream_does_not_hold_it_back(models: Path) -> None:
    with Server(models, grpc_port=0, drain_s=0) as server, triton.InferenceServerClient(address(server)) as client:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("digits", pixels(digits(5)))
        assert answers.get(timeout=PATIENCE_S)[1] is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        client.stop_stream()


@pytest.mark.slow
@pytest.mark.parametrize("pause_s", [0, 0.05], ids=["faster than it is answered", "slower"])
def test_a_stream_that_the_stop_cuts_says_so(models: Path, pause_s: float) -> None:
    """Its answers are the first ones, in order, and it does not end as if all had been answered."""
    over = threading.Event()

    def requests() -> Iterator[Any]:
        for number in itertools.count():
            request = service_pb2.ModelInferRequest(model_name="digits", id=str(number))
            request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 28, 28, 1])
            request.raw_input_contents.append(digits(5).tobytes())
            yield request
            if over.wait(pause_s):
                return

    with Server(models, grpc_port=0) as server, grpc.insecure_channel(address(server)) as channel:
        answers = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests(), timeout=PATIENCE_S)
        ids = [next(answers).infer_response.id for _ in range(20)]
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            ids += [answer.infer_response.id for answer in answers]
        over.set()
        assert server.process.wait(PATIENCE_S) == 0
    assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.UNAVAILABLE, STREAM_CUT)
    assert ids == [str(number) for number in range(len(ids))]


CHANNEL = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


def ask_on(target: str, over: threading.Event) -> collections.Counter[str]:
    """Ask again and again, each call as soon as the one before is answered; how many ended with which code."""
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 28, 28, 1])
    request.raw_input_contents.append(digits(5).tobytes())
    message, counts = request.SerializeToString(), collections.Counter[str]()
    with grpc.insecure_channel(target, CHANNEL) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        while not over.is_set():
            try:
                call(message, timeout=PATIENCE_S)
                counts["OK"] += 1
            except grpc.RpcError as error:
                counts[f"{error.code().name}: {error.details()}"] += 1
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_planned_stop_of_one_of_two_instances_costs_no_call(models: Path, tmp_path: Path, workers: int) -> None:
    """Clients that know both instances, with retries off: the one that stops sends them to the other first."""
    settings = {"workers": workers, "drain_s": 0, "grace_s": PATIENCE_S}
    with ThreadPoolExecutor(4) as pool, Server(models, grpc_port=0, **settings) as stays:
        port = free_port()
        for _ in range(3):
            over = threading.Event()
            leaves = Server(models, grpc_port=port, feedback_path=tmp_path / "f.sqlite", **settings)
            with leaves:
                target = f"ipv4:{address(stays)},{address(leaves)}"
                asking = [pool.submit(ask_on, target, over) for _ in range(4)]
                try:
                    while 'method="gRPC"' not in httpx.get(f"{leaves.url}/metrics").text:
                        pass
                    assert leaves.stop()[0] == 0
                finally:
                    over.set()
            total = sum((each.result(PATIENCE_S) for each in asking), collections.Counter[str]())
            assert set(total) == {"OK"}, total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
def test_a_taken_port_is_reported_in_one_sentence(models: Path) -> None:
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, option, 1)
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ended = run_to_end(models_dir=models, port=0, grpc_port=port)
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert f"127.0.0.1:{port} cannot be listened on for gRPC" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["grpc", "google.protobuf"])
def test_a_missing_extra_is_reported_in_one_sentence(models: Path, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from service.__main__ import main; main([])"
    for workers in (1, 2):
        environ = environment(models_dir=models, port=0, grpc_port=0, workers=workers)
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith("pip install 'digit-recognizer[grpc]'.")
        assert "Traceback" not in ended.stderr


def test_without_a_port_grpc_is_not_loaded() -> None:
    code = "import sys, service.app; sys.exit('grpc' in sys.modules or 'google.protobuf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=PATIENCE_S)
