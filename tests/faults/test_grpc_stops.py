"""Planned stops of gRPC instances in turn, while a client with both addresses calls at a steady rate.

The rate is an open loop: calls begin whether or not the ones before are answered, so that some are on their way at the
moment at which a server sends GOAWAY. gRPC for Python cancels those; a client that retries them, as gRPC's own retry
policy does, loses none.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tests.faults.table import Row
from tests.support.models import digits, publish
from tests.support.server import PATIENCE_S, Server

RATE_HZ = 200
METHOD = "/inference.GRPCInferenceService/ModelInfer"
RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.02s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def request() -> bytes:
    made = service_pb2.ModelInferRequest(model_name="digits")
    tensor = made.inputs.add(name="pixels", datatype="UINT8")
    tensor.shape.extend([1, 28, 28])
    made.raw_input_contents.append(digits(3).tobytes())
    return bytes(made.SerializeToString())


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


class Instances:
    """Two services with the same models, each with a gRPC port that stays its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.ports = free_ports(2)
        self._running = [self._started(number) for number in (0, 1)]

    def replace(self, number: int) -> None:
        """Stop one as planned, and start it again."""
        code, _ = self._running[number].stop()
        assert code == 0
        self._running[number] = self._started(number)

    def stop(self) -> None:
        for server in self._running:
            server.stop()

    def _started(self, number: int) -> Server:
        feedback = self._root / f"{number}.sqlite"
        server = Server(self._root, grpc_port=self.ports[number], feedback_path=feedback).__enter__()
        assert server.client.get("/health/ready").status_code == 200
        return server


async def call_meanwhile(instances: Instances, stops: int, config: dict[str, object]) -> Counter[str]:
    """The status codes of all calls."""
    options = [("grpc.service_config", json.dumps(config)), ("grpc.max_reconnect_backoff_ms", 500)]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in instances.ports)
    found: Counter[str] = Counter()
    over, body = asyncio.Event(), request()
    async with grpc.aio.insecure_channel(target, [*options, ("grpc.min_reconnect_backoff_ms", 100)]) as channel:
        infer = channel.unary_unary(METHOD)

        async def one() -> None:
            try:
                await infer(body, timeout=PATIENCE_S)
                found["OK"] += 1
            except grpc.aio.AioRpcError as error:
                found[error.code().name] += 1

        async def steadily() -> None:
            async with asyncio.TaskGroup() as calls:
                while not over.is_set():
                    calls.create_task(one())
                    await asyncio.sleep(1 / RATE_HZ)

        calling = asyncio.create_task(steadily())
        await asyncio.sleep(0.5)
        for stop in range(stops):
            await asyncio.to_thread(instances.replace, stop % 2)
            await asyncio.sleep(1)
        over.set()
        await calling
    return found


@pytest.mark.parametrize("retries", [True, False], ids=["with a retry policy", "without"])
def test_planned_stops(tmp_path: Path, long: bool, row: Callable[[str], Row], retries: bool) -> None:
    line = row(
        "planned stop of a gRPC instance, open loop, client " + ("that retries" if retries else "without retries")
    )
    publish(tmp_path)
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        config["methodConfig"] = [{"name": [{}], "retryPolicy": RETRY}]
    line.times = 20 if long else 6
    instances = Instances(tmp_path)
    try:
        found = asyncio.run(call_meanwhile(instances, line.times, config))
    finally:
        instances.stop()
    line.answers = found.pop("OK")
    line.lost = found.total()
    if retries:
        assert found == {}
    else:  # those on their way in the milliseconds around GOAWAY
        assert line.lost <= line.times
