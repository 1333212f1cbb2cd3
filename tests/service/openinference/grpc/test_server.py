"""The gRPC server as Triton's own client meets it: health, metadata, repository, keys, several workers, leaving."""

from __future__ import annotations

import asyncio
import collections
import queue
import signal
import socket
import subprocess
import sys
import threading
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
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from service.openinference.grpc import messages
from tests.support.grpc_client import grpc_port
from tests.support.models import digits, publish
from tests.support.server import PATIENCE_S, ROOT, Server, environment, run_to_end

KEY = {"authorization": "Bearer open sesame"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of digits, of which 2 is served, and a second model."""
    root = tmp_path_factory.mktemp("models")
    publish(root)
    publish(root)
    publish(root, shift=1, name="shifted")
    return root


@pytest.fixture(scope="module")
def running(models: Path) -> Iterator[Server]:
    with Server(models, grpc_port=0, admin_key="open sesame") as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(address(running)) as made:
        yield made


def address(server: Server) -> str:
    return f"127.0.0.1:{grpc_port(server)}"


def pixels(array: np.ndarray[Any, Any]) -> list[Any]:
    one = triton.InferInput("pixels", list(array.shape), "UINT8")
    one.set_data_from_numpy(array)
    return [one]


def code_of(call: Any, *arguments: Any, **more: Any) -> str:
    with pytest.raises(InferenceServerException) as error:
        call(*arguments, **more)
    assert str(error.value.message()).endswith(".")
    return str(error.value.status()).removeprefix("StatusCode.")


# -- what it says of itself -------------------------------------------------------------------------------------


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "2")
    assert client.is_model_ready("digits", "stable")
    assert not client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nothing")


def test_metadata_and_configuration_are_those_of_http(client: Any, running: Server) -> None:
    def over_http(path: str) -> Any:
        return running.client.get(path).json()

    server = over_http("/v2")
    found = client.get_server_metadata()
    assert (found.name, found.version, list(found.extensions)) == tuple(server.values())
    for path, version in (("", ""), ("/versions/2", "2"), ("/versions/stable", "stable")):
        model = over_http(f"/v2/models/digits{path}")
        found = client.get_model_metadata("digits", version)
        assert (found.name, found.platform, list(found.versions)) == ("digits", model["platform"], ["2"])
        assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
            ("pixels", "UINT8", [-1, 28, 28, 1])
        ]
        assert [(one.name, one.datatype, list(one.shape)) for one in found.outputs] == [
            (one["name"], one["datatype"], one["shape"]) for one in model["outputs"]
        ]
        wanted = over_http(f"/v2/models/digits{path}/config")
        config = client.get_model_config("digits", version).config
        assert (config.name, config.platform, config.backend) == ("digits", wanted["platform"], wanted["backend"])
        assert config.max_batch_size == wanted["max_batch_size"]
        assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
        assert list(config.input[0].dims) == [28, 28, 1]
        assert list(config.version_policy.specific.versions) == [2]
    for call in (client.get_model_metadata, client.get_model_config):
        assert code_of(call, "nothing") == "NOT_FOUND"
        assert code_of(call, "digits", "1") == "NOT_FOUND"
        assert code_of(call, "") == "NOT_FOUND"


def test_statistics_add_up(client: Any, running: Server) -> None:
    def counted() -> tuple[int, int, int]:
        (one,) = client.get_inference_statistics("digits").model_stats
        assert (one.name, one.version) == ("digits", "2")
        runs = sum(batch.compute_infer.count for batch in one.batch_stats)
        assert one.execution_count == runs
        assert one.inference_count == sum(batch.batch_size * batch.compute_infer.count for batch in one.batch_stats)
        return one.inference_stats.success.count, one.inference_count, one.inference_stats.compute_infer.ns

    before = counted()
    for count in (1, 5, 100):
        client.infer("digits", pixels(digits(*[3] * count)))
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (3, 106)
    assert after[2] > before[2]
    assert {one.name for one in client.get_inference_statistics().model_stats} == {"digits", "shifted"}
    assert len(client.get_inference_statistics("digits", "2").model_stats) == 1
    assert code_of(client.get_inference_statistics, "nothing") == "NOT_FOUND"


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


def test_every_answer_has_an_id(running: Server) -> None:
    with grpc.insecure_channel(address(running)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        _, answer = call.with_call(b"", metadata=[("x-request-id", "mine")])
        assert ("x-request-id", "mine") in [tuple(pair) for pair in answer.trailing_metadata()]
        ids = {dict(call.with_call(b"")[1].trailing_metadata())["x-request-id"] for _ in range(10)}
        assert len(ids) == 10


def test_a_refused_message_does_not_stay_in_memory(running: Server) -> None:
    """60 of 19 MB each: what is refused is let go at once, not when the collector comes, which here is rarely.

    The heap that gRPC's pieces leave behind grows by steps, in all by some five messages' worth; it does not add up.
    """
    size = 19 * 2**20
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(size)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[25_000, 784])
    resident = psutil.Process(running.process.pid).memory_info

    with grpc.insecure_channel(address(running)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        sizes = []
        for _ in range(60):
            with pytest.raises(grpc.RpcError, match="must be UINT8"):
                call(request.SerializeToString())
            sizes.append(resident().rss)
    assert sizes[-1] - sizes[4] < 8 * size  # of 55


# -- the repository ---------------------------------------------------------------------------------------------


def test_index(client: Any) -> None:
    found = {(one.name, one.version): one.state for one in client.get_model_repository_index().models}
    assert found == {("digits", "1"): "UNAVAILABLE", ("digits", "2"): "READY", ("shifted", "1"): "READY"}


def test_unload_and_load(client: Any) -> None:
    client.unload_model("shifted", headers=KEY)
    assert not client.is_model_ready("shifted")
    assert client.is_server_ready()
    assert code_of(client.infer, "shifted", pixels(digits(3))) in ("UNAVAILABLE", "NOT_FOUND")
    states = {one.name: one.state for one in client.get_model_repository_index().models}
    assert states["shifted"] == "UNAVAILABLE"
    client.load_model("shifted", headers=KEY)
    assert client.is_model_ready("shifted")
    assert client.infer("shifted", pixels(digits(3))).as_numpy("probabilities").argmax() == 4
    assert code_of(client.load_model, "nothing", headers=KEY) == "NOT_FOUND"
    assert code_of(client.load_model, "digits", headers=KEY, config="{}") == "INVALID_ARGUMENT"


def test_the_aio_client_unloads_and_loads(running: Server) -> None:
    async def all_of_it() -> None:
        async with triton_aio.InferenceServerClient(address(running)) as client:
            with pytest.raises(InferenceServerException) as caught:
                await client.unload_model("shifted")
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
            await client.unload_model("shifted", headers=KEY)
            assert not await client.is_model_ready("shifted")
            await client.load_model("shifted", headers=KEY)
            assert await client.is_model_ready("shifted")

    asyncio.run(all_of_it())


def test_processes_can_be_started_beside_it(client: Any) -> None:
    """Each load tries the version out in another process: gRPC's own handlers for fork made those crash, in time."""
    for _ in range(12):
        client.unload_model("shifted", headers=KEY)
        client.load_model("shifted", headers=KEY)


def test_who_may_load(client: Any, models: Path) -> None:
    for call in (client.load_model, client.unload_model):
        assert code_of(call, "digits") == "UNAUTHENTICATED"
        assert code_of(call, "digits", headers={"authorization": "Bearer wrong"}) == "PERMISSION_DENIED"
    assert client.is_model_ready("digits")
    with Server(models, grpc_port=0) as keyless, triton.InferenceServerClient(address(keyless)) as other:
        assert code_of(other.unload_model, "digits", headers=KEY) == "PERMISSION_DENIED"


# -- several workers, leaving, and not starting -----------------------------------------------------------------


def test_workers_share_the_port(models: Path) -> None:
    with Server(models, grpc_port=0, workers=2) as server:
        seen = set()
        for _ in range(500):
            options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
            with grpc.insecure_channel(address(server), options) as channel:
                _, answer = channel.unary_unary("/inference.GRPCInferenceService/ServerLive").with_call(
                    b"", wait_for_ready=True, timeout=PATIENCE_S
                )
            seen.add(dict(answer.trailing_metadata())["x-request-id"].split("-")[0])  # differs from worker to worker
            if len(seen) == 2:
                break
        assert len(seen) == 2
        code, _ = server.stop()
        assert code == 0


def test_what_has_begun_is_answered_when_it_is_told_to_stop(models: Path) -> None:
    with Server(models, grpc_port=0, drain_s=0) as server, triton.InferenceServerClient(address(server)) as client:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.async_infer("digits", pixels(digits(*[5] * 20_000)), lambda result, error: answers.put((result, error)))
        while "digits_queue_rows 0.0" in server.client.get("/metrics").text:
            assert answers.empty()
        server.process.send_signal(signal.SIGTERM)
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        assert (result.as_numpy("probabilities").argmax(axis=1) == 5).all()
        assert server.process.wait(PATIENCE_S) == 0


def test_an_open_stream_does_not_hold_it_back(models: Path) -> None:
    with Server(models, grpc_port=0, drain_s=0) as server, triton.InferenceServerClient(address(server)) as client:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("digits", pixels(digits(5)))
        assert answers.get(timeout=PATIENCE_S)[1] is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        client.stop_stream()


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
                target = f"ipv4:{address(stays)},127.0.0.1:{grpc_port(leaves)}"
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


def test_a_taken_port_is_said_in_one_sentence(models: Path) -> None:
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


@pytest.mark.parametrize("missing", ["grpc", "google.protobuf"])
def test_a_missing_extra_is_said_in_one_sentence(models: Path, missing: str) -> None:
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


# -- the messages -----------------------------------------------------------------------------------------------


def test_our_messages_are_tritons() -> None:
    """Every message, field, number and type of inference.proto stands so in the files that tritonclient ships."""
    theirs = {}
    for module in (service_pb2, model_config_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs |= {one.name: one for one in (*file.message_type, *file.enum_type)}
    data = (Path(messages.__file__).parent / "inference.binpb").read_bytes()
    for one in descriptor_pb2.FileDescriptorSet.FromString(data).file[0].message_type:
        agree(one, theirs[one.name])


def agree(ours: Any, theirs: Any) -> None:
    known = {field.name: field for field in theirs.field}
    for field in ours.field:
        other = known[field.name]
        for what in ("number", "type", "label", "type_name"):
            assert getattr(field, what) == getattr(other, what), (ours.name, field.name, what)
        assert field.HasField("oneof_index") == other.HasField("oneof_index")
    nested = {one.name: one for one in (*theirs.nested_type, *theirs.enum_type)}
    for one in ours.nested_type:
        agree(one, nested[one.name])
    for one in ours.enum_type:
        assert [(v.name, v.number) for v in one.value] == [(v.name, v.number) for v in nested[one.name].value]


def test_the_compiled_file_is_that_of_the_source(tmp_path: Path) -> None:
    folder, out = Path(messages.__file__).parent, tmp_path / "out"
    assert protoc.main(["", f"-I{folder}", f"--descriptor_set_out={out}", "inference.proto"]) == 0
    assert out.read_bytes() == (folder / "inference.binpb").read_bytes()
