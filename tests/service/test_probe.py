"""The container's HEALTHCHECK: as the image calls it, against the real thing and against nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, environment


def probe(port: int, host: str = "127.0.0.1") -> int:
    """Exit code, isolated from site-packages as in the image."""
    command = [sys.executable, "-I", "-S", str(Path("service/probe.py"))]
    settings = environment(port=port, host=host)
    process = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=30)
    assert process.stdout + process.stderr == ""
    return process.returncode


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_service_that_is_ready(server: Server, host: str) -> None:
    assert probe(server.port, host) == 0


def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert probe(taken.getsockname()[1]) == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", b""]
)
def test_what_is_not_200_is_not_ready(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "service/probe.py"], cwd=ROOT, env=environment(port=listener.getsockname()[1])
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /health/ready HTTP/1.")
            connection.sendall(answer)
        assert process.wait(30) == 1


def test_it_loads_next_to_nothing() -> None:
    code = "import sys; sys.argv = ['x']; import runpy; runpy.run_path('service/probe.py'); print(len(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 80
