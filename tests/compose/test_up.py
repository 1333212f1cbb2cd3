"""`docker compose up` alone: what is served, under which limits, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import threading

from tests.compose.engine import Project, call, docker, inspect, logs, until
from tests.compose.stream import SEVEN, stream


def ready(port: int) -> bool:
    try:
        return call(port, "GET", "/health/ready")[0] == 200
    except OSError:
        return False


def test_it_predicts_a_picture(project: Project) -> None:
    project.up()
    assert [inspect(c)["Config"]["Image"] for c in project.containers()] == ["digits-trial"], (
        "no profile, one container"
    )
    status, body = call(project.port(), "POST", "/predict", SEVEN, "image/png")
    assert status == 200
    answer = json.loads(body)
    assert answer["predictions"][0]["digit"] == 7
    assert answer["model"] == {"name": "digits", "version": int((project.folder / "models/digits/current").read_text())}
    assert call(project.port(), "GET", "/")[0] == 200
    with socket.create_connection(("127.0.0.1", project.port("GRPC_")), 10) as grpc:
        grpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert grpc.recv(9)[3] == 4, "HTTP/2 SETTINGS"


def test_it_is_locked_up_and_limited(project: Project) -> None:
    project.up()
    container = project.containers()[0]
    host = inspect(container)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["NanoCpus"], host["Memory"]) == (1_000_000_000, 512 * 2**20)
    assert "Found 1 CPUs and 512 MiB of memory: 1 worker" in logs(container)


def test_feedback_outlives_the_container(project: Project) -> None:
    project.up()
    feedback = json.dumps({"digit": [[0] * 28] * 14 + [[255] * 28] * 14, "label": 4}).encode()
    for expected in (201, 200):  # new, and known to the container after it
        status, body = call(project.port(), "POST", "/feedback", feedback, "application/json")
        assert status == expected, body
        project.compose("rm", "--stop", "--force", "service")
        project.up()


def test_stopping_is_a_clean_drain(project: Project) -> None:
    """Not ready first; the stream, as a balancer would, leaves then; what had begun is answered; exit code 0."""
    project.up()
    container = project.containers()[0]
    with socket.create_connection(("127.0.0.1", project.port()), 40) as upload:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(SEVEN)}\r\n\r\n"
        upload.sendall(head.encode() + SEVEN[:50])
        with stream(project.port()) as asking:
            until(lambda: asking.answers > 50)
            stopping = threading.Thread(target=docker, args=("stop", "-t", "40", container))
            stopping.start()
            until(lambda: not ready(project.port()))
            before = asking.answers
            until(lambda: asking.answers > before + 20)
        asking.check()
        until(lambda: "no new requests" in logs(container))
        upload.sendall(SEVEN[50:])
        answer = upload.makefile("rb").read()
    stopping.join(60)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b'"digit":7' in answer
    state = inspect(container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False), logs(container)
    assert "All requests are answered; stopping" in logs(container)


def test_a_crash_is_restarted(project: Project) -> None:
    project.up()
    container = project.containers()[0]
    subprocess.run(["kill", "-9", str(inspect(container)["State"]["Pid"])], check=True)
    until(lambda: inspect(container)["RestartCount"] == 1)
    until(lambda: ready(project.port()))
