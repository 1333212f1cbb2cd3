"""The service under test: HTTP in packets cut at random, gRPC, the longest pause of its event loop, its memory."""

from __future__ import annotations

import socket
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from random import Random

import grpc
import psutil

from service.openinference.grpc.messages import ModelStreamInferResponse
from service.problems import INTERNAL_ERROR
from tests.fuzz.cases import Request
from tests.support.grpc_client import address
from tests.support.loop_probe import Probe
from tests.support.refusals import LEAKS
from tests.support.server import Server

MAX_PAUSE_S = 0.05
TRIES = 3
FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Target:
    """One service and one connection to it, opened anew when it was closed.

    Attributes:
        server, probe, models_dir: the service, its pauses, its model repository.
    """

    def __init__(self, server: Server, probe: Probe, models_dir: Path) -> None:
        self.server = server
        self.probe = probe
        self.models_dir = models_dir
        self._connection: socket.socket | None = None

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def memory_mib(self) -> float:
        return float(psutil.Process(self.server.process.pid).memory_info().rss / 2**20)

    def send(self, dice: Random, request: Request) -> str:
        """Send one request; check the answer and return its class: "2xx", "3xx", "4xx", "503" or "closed"."""
        if self._connection is None:
            self._connection = self.server.socket()
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = request.head() + request.body
        places = sorted(dice.randrange(len(data)) for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 5))))
        try:
            for start, end in zip([0, *places], [*places, len(data)], strict=True):
                self._connection.sendall(data[start:end])
                if end < len(data) and dice.random() < 0.1:
                    time.sleep(0.001)  # the packets do not grow together
        except OSError:
            pass  # refused before it was read; the answer may be there
        try:
            response = HTTPResponse(self._connection, method=request.method)
            response.begin()
            body = response.read()
        except (HTTPException, OSError):
            self.close()
            return "closed"
        if response.will_close:
            self.close()
        check(response, body, data)
        return "503" if response.status == 503 else f"{response.status // 100}xx"

    def call(self, method: str, messages: list[bytes], metadata: list[tuple[str, str]]) -> str:
        """One gRPC call with these bytes; a stream if there are several. "2xx" is OK, "4xx" any refusal."""
        path = f"/inference.GRPCInferenceService/{method}"
        try:
            if method == "ModelStreamInfer":
                answers = self._channel.stream_stream(path)(iter(messages), timeout=60, metadata=metadata)
                outcomes = [check_streamed(answer, b"".join(messages)) for answer in answers]
                assert len(outcomes) == len(messages)
                return "4xx" if "4xx" in outcomes else "2xx"
            self._channel.unary_unary(path)(messages[0], timeout=60, metadata=metadata)
        except grpc.RpcError as error:
            assert error.code() not in FAULTS, error  # noqa: PT017
            assert not leaks(str(error.details()).encode(), b"".join(messages)), error  # noqa: PT017
            return "503" if error.code() is grpc.StatusCode.UNAVAILABLE else "4xx"
        return "2xx"

    def open_channel(self) -> grpc.Channel:
        self._channel = grpc.insecure_channel(address(self.server))
        return self._channel

    def alive(self) -> None:
        assert self.server.client.get("/health/live").status_code == 200


def check_streamed(answer: bytes, sent: bytes) -> str:
    """One answer of a stream: a result, or a sentence that says why there is none and is no fault of ours."""
    said = str(ModelStreamInferResponse.FromString(answer).error_message)
    if not said:
        return "2xx"
    assert said.endswith("."), said
    assert said != INTERNAL_ERROR
    assert not leaks(said.encode(), sent), said
    return "4xx"


def leaks(answer: bytes, sent: bytes) -> list[bytes]:
    """What in an answer looks like a secret of this machine, such as an address 0x..., and was not sent by us."""
    return [found[0] for found in LEAKS.finditer(answer) if found[0] not in sent]


def check(response: HTTPResponse, body: bytes, sent: bytes) -> None:
    """No fault is answered; a refusal says why, and nothing about this machine; overload says when to come again."""
    said = f"{response.status} {body[:500]!r}"
    assert response.status < 500 or (response.status == 503 and response.headers["Retry-After"]), said
    assert response.headers["X-Request-Id"], said
    if response.status >= 400:
        assert not leaks(body, sent), said
