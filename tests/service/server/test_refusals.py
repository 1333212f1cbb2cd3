"""Every refusal is counted and has one line in the log, with the address of the client: of the protocol layer too."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from tests.support.grpc_client import code_of, grpc_port, pixels
from tests.support.models import digits
from tests.support.server import PATIENCE_S, Server
from tests.support.waiting import until

HOST = b"Host: localhost\r\n"
OCTETS = b"Content-Type: application/octet-stream\r\n"
REFUSED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a foreign version": (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + 2 * HOST + b"\r\n", 400),
    "a foreign host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    "a head too large": (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 300 + b"\r\n", 431),
    "two lengths": (b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
    "a coding": (b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "no such path": (b"GET /%E2%80%AE%1b%5B31m%0a HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "no such method": (b"PUT /predict HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "a bad body": (b"POST /predict HTTP/1.1\r\n" + HOST + OCTETS + b"Content-Length: 3\r\n\r\nabc", 400),
    "too large": (b"POST /predict HTTP/1.1\r\n" + HOST + OCTETS + b"Content-Length: 99999999999\r\n\r\n", 413),
    "a foreign origin": (b"POST /predict HTTP/1.1\r\n" + HOST + b"Origin: https://evil.example\r\n\r\n", 403),
}


@pytest.fixture(scope="module")
def logged(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("logged")
    settings = {"log_format": "json", "allowed_hosts": "localhost,127.0.0.1", "max_connections_per_client": 5}
    with Server(models_dir, grpc_port=0, feedback_path=folder / "f.sqlite", **settings) as server:
        yield server


def lines(server: Server, client: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.lines() if line.startswith("{")]
    return [line for line in found if line.get("client") == client]


def counted(server: Server) -> float:
    numbers = server.client.get("/metrics").text.splitlines()
    wanted = [line for line in numbers if line.startswith("digits_request_duration_seconds_count")]
    return sum(float(line.rpartition(" ")[2]) for line in wanted if 'status="200"' not in line)


def connect(server: Server, client: str) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(PATIENCE_S)
    connection.bind((client, 0))
    connection.connect(("127.0.0.1", server.port))
    return connection


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_and_a_count(logged: Server, name: str) -> None:
    data, status = REFUSED[name]
    client, before = f"127.0.1.{list(REFUSED).index(name) + 1}", counted(logged)
    with connect(logged, client) as connection:
        connection.sendall(data)
        answer = connection.recv(2**16)
    assert int(answer[9:12]) == status, answer
    until(lambda: lines(logged, client))
    [line] = lines(logged, client)
    assert line["status"] == status
    assert line["request_id"] in answer.decode("latin-1")
    assert len(json.dumps(line)) < 2500
    assert counted(logged) == before + 1


def test_a_connection_too_many(logged: Server) -> None:
    client = "127.0.2.1"
    opened = [connect(logged, client) for _ in range(6)]
    opened[-1].sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert opened[-1].recv(2**16)[9:12] == b"503"
    until(lambda: lines(logged, client))
    assert [line["status"] for line in lines(logged, client)] == [503]
    for connection in opened:
        connection.close()


def test_grpc(logged: Server) -> None:
    before = len(lines(logged, "127.0.0.1"))
    with triton.InferenceServerClient(f"127.0.0.1:{grpc_port(logged)}") as client:
        assert code_of(client.infer, "nothing", pixels(digits(3))) == "NOT_FOUND"
    until(lambda: len(lines(logged, "127.0.0.1")) > before)
    assert lines(logged, "127.0.0.1")[-1]["method"] == "gRPC"


def test_the_client_behind_a_proxy(models_dir: Path, tmp_path: Path) -> None:
    settings = {"log_format": "json", "trusted_proxies": "127.0.0.1", "access_log": True}
    with Server(models_dir, feedback_path=tmp_path / "f.sqlite", **settings) as server:
        for past_asgi in (True, False):
            headers = {"x-forwarded-for": "198.51.100.7", "content-type": "application/octet-stream"}
            headers |= {} if past_asgi else {"accept": "application/json;q=0.5"}
            assert server.client.post("/predict", content=digits(3).tobytes(), headers=headers).status_code == 200
        until(lambda: len(lines(server, "198.51.100.7")) == 2)
