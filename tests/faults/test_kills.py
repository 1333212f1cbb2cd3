"""kill -9 at random moments: of workers, the service, the trainer's publishing, a writer of labels."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document, get
from tests.faults.table import Row
from tests.support.models import digit, publish
from tests.support.server import ROOT, Server
from tests.support.waiting import until

CLIENTS = 4
PUBLISHES = """
import sys
from pathlib import Path
from service.repository.writer import RepositoryWriter
repository = RepositoryWriter(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    version = repository.publish("digits", lambda version: b"%d" % version * 10**5, {"self_test": {}})
    repository.promote("digits", version)
    repository.prune("digits", 3)
"""


def workers(server: Server) -> list[int]:
    return [worker["pid"] for worker in document(server, "/models/digits")["workers"]]


def test_workers(tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row]) -> None:
    """A killed worker takes the requests with it that it has in hand, one per connection; no other is lost."""
    line = row("kill -9 of a worker")
    publish(tmp_path)
    with Server(tmp_path, workers=2) as server, Asking(server, {1: 0}, CLIENTS) as asking:
        for _ in range(20 if long else 4):
            until(lambda: len(workers(server)) == 2)
            asking.more(dice.randrange(10, 200))
            failed, victim = len(asking.failed), dice.choice(workers(server))
            os.kill(victim, signal.SIGKILL)
            line.recovery_s.append(until(lambda v=victim: len(set(workers(server)) - {v}) == 2))
            line.lost += max(0, len(asking.failed) - failed - CLIENTS)
            line.times += 1
        line.answers = asking.answers.total()
    line.wrong = len(asking.wrong)
    assert (line.lost, asking.wrong) == (0, [])


def test_service(tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row]) -> None:
    """Killed while versions are promoted: it starts again, serves what was promoted, and no worker outlives it."""
    line = row("kill -9 of the service")
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    repository = RepositoryWriter(tmp_path)
    for _ in range(10 if long else 2):
        with Server(tmp_path, workers=2) as server, Asking(server, {1: 0, 2: 1}, CLIENTS) as asking:
            asking.more(dice.randrange(20, 100))
            children = psutil.Process(server.process.pid).children(recursive=True)
            version = dice.choice([1, 2])
            repository.promote("digits", version)
            server.stop(signal.SIGKILL)
            until(lambda c=children: not any(child.is_running() and child.status() != "zombie" for child in c))
            line.answers += asking.answers.total()
        line.wrong += len(asking.wrong)
        began = time.monotonic()
        with Server(tmp_path, workers=2) as again:
            assert document(again, "/model")["version"] == version
            line.recovery_s.append(time.monotonic() - began)
        line.times += 1
    assert line.wrong == 0


def test_publishing(tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row]) -> None:
    """Killed anywhere: every version that is seen is whole, `current` names one of them, and the next writer works."""
    line = row("kill -9 of a process that publishes, promotes and prunes")
    repository = RepositoryWriter(tmp_path)
    for _ in range(60 if long else 12):
        trainer = subprocess.Popen([sys.executable, "-c", PUBLISHES, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
        assert trainer.stdout
        trainer.stdout.readline()
        time.sleep(dice.uniform(0.02, 0.3))
        trainer.kill()
        trainer.wait()
        trainer.stdout.close()
        for version in repository.versions("digits"):
            repository.model_bytes("digits", version)
        if repository.versions("digits") and (tmp_path / "digits/current").exists():
            line.wrong += repository.current("digits") not in repository.versions("digits")
        line.times += 1
    assert line.wrong == 0
    version = publish(tmp_path)
    assert repository.current("digits") == version
    assert not [entry for entry in os.listdir(tmp_path / "digits") if entry.startswith(".publishing")]


@pytest.mark.parametrize("count", [1, 2])
def test_labels(tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row], count: int) -> None:
    """Every label that was answered with 201 is in the file, whenever the service is killed."""
    line = row(f"kill -9 while labels are stored by 8 clients, {count} worker(s)")
    publish(tmp_path / "models")
    path = tmp_path / "feedback.sqlite"
    stored: list[bytes] = []
    for turn in range(10 if long else 3):
        with Server(tmp_path / "models", workers=count, feedback_path=path) as server:
            stop = threading.Event()
            posts = [threading.Thread(target=post, args=(server.port, turn, n, stop, stored)) for n in range(8)]
            for thread in posts:
                thread.start()
            enough = len(stored) + dice.randrange(20, 120)
            line.recovery_s.append(until(lambda e=enough: len(stored) > e))
            server.stop(signal.SIGKILL)
            stop.set()
            for thread in posts:
                thread.join()
        line.times += 1
    line.answers, line.lost = len(stored), len(set(stored) - in_file(path))
    assert line.lost == 0


def post(port: int, turn: int, client: int, stop: threading.Event, stored: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    number = 0
    while not stop.is_set():
        number += 1
        pixels = digit(client)
        pixels[1, :4] = turn, client, number % 256, number // 256
        body = json.dumps({"digit": pixels.tolist(), "label": client})
        try:
            connection.request("POST", "/feedback", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            continue
        if answer.status == 201:
            stored.append(pixels.tobytes())
    connection.close()


def in_file(path: Path) -> set[bytes]:
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        rows = [row for name in tables for row in database.execute(f"select * from {name}")]
    return {bytes(cell) for row in rows for cell in row if isinstance(cell, bytes) and len(cell) == 784}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("how", ["to the parent", "to all", "a storm to all"])
def test_terminated(
    tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row], how: str, count: int
) -> None:
    """A request that is in hand when SIGTERM comes is answered, and the service ends with 0."""
    line = row(f"SIGTERM {how}, {count} worker(s), a request in hand")
    publish(tmp_path)
    for _ in range(8 if long else 2):
        with Server(tmp_path, workers=count) as server:
            until(lambda s=server: len(workers(s)) == count)
            slow = Slow(server.port)
            family = [server.process, *psutil.Process(server.process.pid).children()]
            targets = family[:1] if how == "to the parent" else family
            for _ in range(5 if "storm" in how else 1):
                for process in targets:
                    if process.poll() is None if process is server.process else process.is_running():
                        process.send_signal(signal.SIGTERM)
                time.sleep(dice.uniform(0, 0.02))
            line.lost += slow.finish() != 200
            began = time.monotonic()
            code, log = server.stop(None)
            line.recovery_s.append(time.monotonic() - began)
            assert code == 0, log
        line.times += 1
    assert line.lost == 0


class Slow:
    """A request of which half is sent, and the rest after the signal."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._body = digit(3).tobytes()
        lines = "POST /predict HTTP/1.1", "Host: a", "Content-Type: application/octet-stream", "Content-Length: 784"
        head = "\r\n".join((*lines, "", "")).encode()
        self._socket.sendall(head + self._body[:300])
        time.sleep(0.2)

    def finish(self) -> int:
        try:
            self._socket.sendall(self._body[300:])
            answer = self._socket.recv(4096)
        except OSError:
            return 0
        finally:
            self._socket.close()
        return int(answer.split(b" ")[1]) if answer else 0


def test_connections(tmp_path: Path, dice: random.Random, long: bool, row: Callable[[str], Row]) -> None:
    """Half-closed ones get their answer; reset ones, half-sent ones and ones that never read disturb nobody."""
    line = row("half-closed, half-sent, reset and never-reading connections, under load")
    publish(tmp_path)
    ask = b"GET /model HTTP/1.1\r\nHost: a\r\n\r\n"
    with Server(tmp_path) as server, Asking(server, {1: 0}) as asking:
        kept = []
        for _ in range(400 if long else 100):
            connection = server.socket(receive_buffer=4096)
            kind = dice.randrange(4)
            line.times += 1
            if kind == 0:
                connection.sendall(ask)
                connection.shutdown(socket.SHUT_WR)
                line.lost += not connection.recv(4096).startswith(b"HTTP/1.1 200")
            elif kind == 1:
                connection.sendall(ask[: dice.randrange(1, len(ask))])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif kind == 2:
                connection.sendall(ask * 50)
                kept.append(connection)
                continue
            else:
                connection.sendall(ask[: dice.randrange(1, len(ask))])
                kept.append(connection)
                continue
            connection.close()
        asking.more(50)
        assert get(server, "/health/live")[0] == 200
        for connection in kept:
            connection.close()
        line.answers = asking.answers.total()
    line.lost, line.wrong = line.lost + len(asking.failed), len(asking.wrong)
    assert (line.lost, asking.failed, asking.wrong) == (0, [], [])
