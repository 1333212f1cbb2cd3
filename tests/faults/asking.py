"""Clients that ask without pause from threads, check every answer, and know what was lost."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.support.models import unlike
from tests.support.server import PATIENCE_S, Server
from tests.support.waiting import until

HEADERS = {"Content-Type": "application/octet-stream"}


class Asking:
    """`with Asking(server, {version: shift}):` asks until left.

    Attributes:
        answers: how many each version gave.
        wrong: answers that are not what the version they name must say.
        failed: requests that ended otherwise: the status, or the error of the connection.
    """

    def __init__(self, server: Server, shifts: dict[int, int], clients: int = 4) -> None:
        self._port = server.port
        self._shifts = shifts
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(value,), daemon=True) for value in range(clients)]
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more, and wait for the last answers."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def more(self, count: int = 20) -> float:
        """Wait for so many more answers; how long that took, in seconds."""
        began, enough = time.monotonic(), self.answers.total() + count
        until(lambda: self.answers.total() >= enough)
        return time.monotonic() - began

    def _ask(self, value: int) -> None:
        connection, numbers = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S), count()
        while not self._stopped.is_set():
            try:
                connection.request("POST", "/predict", unlike(value, next(numbers)).tobytes(), HEADERS)
                answer = connection.getresponse()
                self._take(value, answer.status, answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
                time.sleep(0.02)
        connection.close()

    def _take(self, value: int, status: int, body: bytes) -> None:
        if status != 200:
            self.failed.append(f"{status} {body[:200]!r}")
            return
        found = json.loads(body)
        version = found["model"]["version"]
        self.answers[version] += 1
        if found["predictions"][0]["digit"] != (value + self._shifts[version]) % 10:
            self.wrong.append(f"{value} by version {version}: {body!r}")


def get(server: Server, path: str, method: str = "GET", timeout_s: float = PATIENCE_S, **headers: str) -> Any:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout_s)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def document(server: Server, path: str) -> Any:
    return json.loads(get(server, path)[1])
