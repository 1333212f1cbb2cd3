"""What gRPC calls hold is bounded: messages that come, that never end, streams that stay; and others do not notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from service.openinference.grpc.receiving import address_of
from tests.support.grpc_client import address, found, grpc_port, pixels
from tests.support.http2 import RawGrpc
from tests.support.models import digits
from tests.support.server import Server
from tests.support.waiting import until

MIB = 2**20
MESSAGE, BUDGET = 6 * MIB, 24 * MIB
UNAVAILABLE, DEADLINE, INVALID = 14, 4, 3
GROWTH = 100 * MIB  # of the process, at most: twice the budget, and what gRPC and the allocator keep
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(scope="module")
def small(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where two messages that come slowly, and four in all, may be on their way."""
    folder = tmp_path_factory.mktemp("grpc")
    limits = {"max_grpc_message_bytes": MESSAGE, "max_inflight_bytes": BUDGET, "body_timeout_s": 3}
    with Server(models, grpc_port=0, feedback_path=folder / "f.sqlite", **limits) as server:
        yield server


def memory(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


def answers_small_calls(server: Server) -> bool:
    with triton.InferenceServerClient(address(server)) as client:
        return found(client.infer("digits", pixels(digits(3)), client_timeout=20)) == [3]


def big(size: int) -> bytes:
    """An encoded request of about `size` bytes whose datatype is wrong, so that nothing is computed."""
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(size)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[size // 784, 784])
    return bytes(request.SerializeToString())


def answered(clients: list[RawGrpc]) -> int:
    """How many calls have a status, of what has arrived by now."""
    for client in clients:
        client.receive(0.01)
    return sum(len(client.statuses) for client in clients)


@pytest.mark.slow
def test_messages_that_never_end_take_no_more_than_the_budget(small: Server) -> None:
    """200 calls of 5 MiB each from 10 addresses: without a bound they would take 1 GB."""
    before = memory(small)
    with ExitStack() as opened:
        clients = [opened.enter_context(RawGrpc(grpc_port(small), 1 + number)) for number in range(10)]
        for client in clients:
            for _ in range(20):
                client.begin(5 * MIB)
        for client in clients:
            client.push(5 * MIB - 1000, 1)
            assert memory(small) - before < GROWTH
        until(lambda: answered(clients) >= 198)
        assert answers_small_calls(small)
        until(lambda: answered(clients) == 200)  # what came in part only is given up in time
        statuses = Counter(status for client in clients for status in client.statuses.values())
        assert statuses == {UNAVAILABLE: 198, DEADLINE: 2}


@pytest.mark.slow
def test_one_client_may_have_one_of_two(small: Server) -> None:
    with RawGrpc(grpc_port(small), 1) as one, RawGrpc(grpc_port(small), 2) as other:
        for _ in range(5):
            one.begin(5 * MIB)
        one.push(2 * MIB, 0.5)
        assert list(one.statuses.values()) == [UNAVAILABLE] * 4
        other.begin(5 * MIB)
        assert other.push(2 * MIB, 1) > 2 * MIB - 10
        assert not other.statuses
    until(lambda: answers_big(small) == INVALID)  # both are given back once the clients are gone


def answers_big(server: Server) -> int:
    with grpc.insecure_channel(address(server)) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(INFER)(big(5 * MIB), timeout=20)
    code: int = error.value.code().value[0]
    return code


@pytest.mark.slow
def test_whole_messages_are_refused_over_the_budget_and_freed(small: Server) -> None:
    before = memory(small)
    with ThreadPoolExecutor(16) as threads:
        codes = Counter(threads.map(lambda _: answers_big(small), range(200)))
    assert set(codes) <= {INVALID, UNAVAILABLE}
    assert codes[INVALID]
    assert memory(small) - before < GROWTH
    until(lambda: answers_big(small) == INVALID)


def test_streams_are_counted_as_long_as_they_are_open(small: Server) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(RawGrpc(grpc_port(small), 1 + number)) for number in range(3)]
        for client in clients:
            for _ in range(3):
                client.begin(5 * MIB, STREAM)
            client.push(100_000, 0.5)
        statuses = [sorted(client.statuses.values()) for client in clients]
        assert statuses == [[UNAVAILABLE] * 2, [UNAVAILABLE] * 2, [UNAVAILABLE] * 3]
        assert answers_small_calls(small)
    until(lambda: streams_again(small))


def streams_again(server: Server) -> bool:
    with grpc.insecure_channel(address(server)) as channel:
        try:
            return len(list(channel.stream_stream(STREAM)(iter([big(5 * MIB)] * 2), timeout=20))) == 2
        except grpc.RpcError:
            return False


def test_a_call_without_a_message(small: Server) -> None:
    with grpc.insecure_channel(address(small)) as channel, pytest.raises(grpc.RpcError) as error:
        channel.stream_unary(INFER)(iter([]), timeout=20)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "without a message" in error.value.details()


def test_of_several_messages_of_a_call_the_first_one_counts(small: Server) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[digits(7).tobytes()])
    request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 784])
    with grpc.insecure_channel(address(small)) as channel:
        call: Any = channel.stream_unary(INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)
        assert call(iter([request.SerializeToString()] + [b"\xff"] * 3), timeout=20).model_name == "digits"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:[::1]:4711", "::1"),
        ("unix:", "-"),
        ("unix:/run/digits", "-"),
        ("", "-"),
    ],
)
def test_the_address_of_a_peer(peer: str, address: str) -> None:
    assert address_of(peer) == address
