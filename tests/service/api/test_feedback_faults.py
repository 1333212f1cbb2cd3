"""POST /feedback while things break: no acknowledged correction is lost, and /predict goes on answering."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from service.feedback.store import FeedbackStore
from tests.support.models import digits, publish
from tests.support.refusals import check_problem
from tests.support.server import PATIENCE_S, Server

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

CLIENTS = 32
OCTETS = {"content-type": "application/octet-stream"}


@dataclass
class Tally:
    """What callers were told about each digit."""

    stored: set[int] = field(default_factory=set)  # 201 or 200
    refused: set[int] = field(default_factory=set)  # certainly not stored
    in_doubt: set[int] = field(default_factory=set)  # a broken connection, or a sentence that says so
    statuses: Counter[int] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)  # of refusals


def post(connection: http.client.HTTPConnection, number: int) -> tuple[int, str]:
    """Status and body of the answer to digit `number`."""
    pixels = [number >> 16, number >> 8 & 255, number & 255, *[0] * 781]
    body = json.dumps({"digit": pixels, "label": number % 10})
    connection.request("POST", "/feedback", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def give(port: int, numbers: range, tally: Tally, stop: threading.Event) -> None:
    """One client: a digit after the other over connections that are renewed when they break."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    for number in numbers:
        if stop.is_set():
            break
        try:
            status, body = post(connection, number)
        except (OSError, http.client.HTTPException):
            connection.close()
            tally.in_doubt.add(number)
            time.sleep(0.02)
            continue
        tally.statuses[status] += 1
        if status in (200, 201):
            tally.stored.add(number)
        else:
            tally.sentences[json.loads(body)["detail"]] += 1
            (tally.in_doubt if "may be stored" in body else tally.refused).add(number)
    connection.close()


def in_file(path: Path) -> set[int]:
    """The numbers of the digits in the file, each of which has its own label."""
    with closing(FeedbackStore(path)) as store:
        pixels, labels = store.digits()
    first = pixels[:, 0, :3].astype(np.int64)
    numbers = first[:, 0] * 65536 + first[:, 1] * 256 + first[:, 2]
    assert (numbers % 10 == labels).all()
    assert len(set(numbers.tolist())) == len(numbers)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return set(numbers.tolist())


def check(path: Path, tally: Tally) -> set[int]:
    kept = in_file(path)
    assert tally.stored <= kept, f"{len(tally.stored - kept)} of {len(tally.stored)} acknowledged digits are lost"
    assert not kept & (tally.refused - tally.stored), "some were stored after all"
    assert kept <= tally.stored | tally.in_doubt
    return kept


def workers_of(server: Server) -> list[psutil.Process]:
    return [each for each in psutil.Process(server.process.pid).children() if is_worker(each)]


def is_worker(process: psutil.Process) -> bool:
    """Whether it runs: one that was killed a moment ago has no command line."""
    with suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def wait_until_more_is_stored(tally: Tally, count: int = 30) -> None:
    deadline, before = time.monotonic() + PATIENCE_S, len(tally.stored)
    while len(tally.stored) < before + count:
        assert time.monotonic() < deadline, tally.statuses
        time.sleep(0.02)


@pytest.mark.slow
def test_32_clients_two_workers_and_kills_at_random_moments(tmp_path: Path) -> None:
    publish(tmp_path / "models")
    path, tally, stop = tmp_path / "f.sqlite", Tally(), threading.Event()
    chance = random.Random(seed := int(time.time()))
    print(f"seed {seed}")
    with Server(tmp_path / "models", workers=2, feedback_path=path) as server, ThreadPoolExecutor(CLIENTS) as pool:
        for client in range(CLIENTS):
            pool.submit(give, server.port, range(client * 100_000, (client + 1) * 100_000), tally, stop)
        try:
            for _ in range(8):
                wait_until_more_is_stored(tally)
                time.sleep(chance.uniform(0, 0.3))
                victims = workers_of(server)
                if victims:
                    os.kill(chance.choice(victims).pid, signal.SIGKILL)
            wait_until_more_is_stored(tally)
            server.stop(signal.SIGKILL)
        finally:
            stop.set()
    kept = check(path, tally)
    print(
        f"{len(tally.stored)} acknowledged, {len(kept)} in the file, {len(tally.in_doubt)} in doubt, {tally.statuses}"
    )
    assert len(tally.stored) > 200
    assert set(tally.statuses) <= {200, 201, 503}
    assert all("stopping" in sentence for sentence in tally.sentences), tally.sentences


@pytest.mark.slow
def test_the_limit_holds_over_workers(tmp_path: Path) -> None:
    publish(tmp_path / "models")
    path, tally, stop = tmp_path / "f.sqlite", Tally(), threading.Event()
    settings = {"workers": 2, "feedback_path": path, "max_feedback_rows": 200}
    with Server(tmp_path / "models", **settings) as server, ThreadPoolExecutor(CLIENTS) as pool:
        for client in range(CLIENTS):
            pool.submit(give, server.port, range(client * 20, client * 20 + 20), tally, stop)
    assert tally.statuses == {201: 200, 507: CLIENTS * 20 - 200}
    assert check(path, tally) == tally.stored
    assert len(tally.stored) == 200


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_predict_answers_while_another_process_holds_the_lock(tmp_path: Path, workers: int) -> None:
    """The lock is held until /predict has answered many times: one that waited for it would never end."""
    publish(tmp_path / "models")
    path, tally, stop = tmp_path / "f.sqlite", Tally(), threading.Event()
    settings = {"workers": workers, "feedback_path": path, "feedback_timeout_s": 0.5}
    with Server(tmp_path / "models", **settings) as server, ThreadPoolExecutor(8) as pool:
        assert server.client.post("/feedback", json={"digit": [0] * 784, "label": 0}).status_code == 201
        tally.stored.add(0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            given = [
                pool.submit(give, server.port, range(client * 10, client * 10 + 3), tally, stop)
                for client in range(1, 8)
            ]
            for number in range(200):
                answer = server.client.post("/predict", content=digits(number % 10).tobytes(), headers=OCTETS)
                assert answer.status_code == 200
                assert server.client.get("/feedback/stats").json()["digits"] == 1
            for each in given:
                each.result(PATIENCE_S)
            refusal = server.client.post("/feedback", json={"digit": [1] * 784, "label": 0})
            problem = check_problem(refusal.status_code, refusal.headers, refusal.content, 503)
            assert problem["detail"].endswith("Nothing was stored; try again later.")
            assert "another process holds its lock" in problem["detail"]
            assert refusal.headers["retry-after"] == "5"
        assert server.client.post("/feedback", json={"digit": [0] * 784, "label": 0}).status_code == 200
    assert tally.statuses == {503: 21}
    assert check(path, tally) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_does_not_wait_for_a_lock_longer_than_it_may(tmp_path: Path, workers: int) -> None:
    publish(tmp_path / "models")
    path = tmp_path / "f.sqlite"
    settings = {"workers": workers, "feedback_path": path, "feedback_timeout_s": 600, "grace_s": 5}
    with Server(tmp_path / "models", **settings) as server, ThreadPoolExecutor(1) as aside:
        assert server.client.post("/feedback", json={"digit": [0] * 784, "label": 0}).status_code == 201
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = aside.submit(server.client.post, "/feedback", json={"digit": [1] * 784, "label": 1})
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            answer = waiting.result(PATIENCE_S)
            assert (answer.status_code, "is stopping" in answer.json()["detail"]) == (503, True)
            assert server.process.wait(PATIENCE_S) == 0


def test_a_service_whose_folder_is_missing_serves_and_recovers(tmp_path: Path) -> None:
    publish(tmp_path / "models")
    folder = tmp_path / "volume"
    with Server(tmp_path / "models", feedback_path=folder / "f.sqlite") as server:
        given = {"digit": [0] * 784, "label": 0}
        assert "its folder does not exist" in server.client.post("/feedback", json=given).json()["detail"]
        assert server.client.get("/feedback/stats").json()["digits"] == 0
        folder.mkdir()
        assert server.client.post("/feedback", json=given).status_code == 201
        (folder / "f.sqlite").rename(folder / "moved.sqlite")
        assert server.client.post("/feedback", json=given).status_code == 201
        code, lines = server.stop()
    assert code == 0
    assert lines.count("Feedback is not stored") == 1
    assert in_file(folder / "moved.sqlite") == in_file(folder / "f.sqlite") == {0}
