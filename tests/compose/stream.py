"""A steady stream of predictions, bounded in rate and number, that counts every answer and every failure."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

SEVEN = (Path(__file__).parents[2] / "docs/seven.png").read_bytes()
HEADERS = {"Content-Type": "image/png"}
MOST = 50_000
PAUSE_S = 0.02


@dataclass
class Stream:
    """Clients that ask again and again, half of them over one connection, half over a new one each time; no retries.

    Attributes:
        statuses, versions: how many answers had which.
        failures: what was no answer at all.
    """

    port: int
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def answers(self) -> int:
        return self.statuses.total()

    def ask(self, keep: bool) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.over.wait(PAUSE_S) and self.answers < MOST:
            try:
                connection.request("POST", "/predict", SEVEN, HEADERS | ({} if keep else {"Connection": "close"}))
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.versions[json.loads(body)["model"]["version"]] += 1
            if answer.will_close:
                connection.close()
        connection.close()

    def check(self) -> None:
        """Not one failed."""
        assert self.failures == []
        assert set(self.statuses) == {200}, self.statuses


@contextmanager
def stream(port: int, clients: int = 4) -> Iterator[Stream]:
    asking = Stream(port)
    with ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(asking.ask, index % 2 == 0) for index in range(clients)]
        try:
            yield asking
        finally:
            asking.over.set()
            for one in asked:
                one.result(60)
    print(f"stream: {dict(asking.statuses)} answers by status, {dict(asking.versions)} by version, {asking.failures}")
