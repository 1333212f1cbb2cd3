"""Workers ask each other to publish: what a client was answered is in the next sum, whichever worker is asked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.telemetry.publish_requests import ENDING, PublishRequests
from tests.support.models import digit, digits, publish
from tests.support.server import Server
from tests.support.v2 import document, over_a_new_connection, tensor

OCTETS = {"Content-Type": "application/octet-stream"}
PREDICTIONS = 'digits_predictions_total{digit="3"'


class Workers:
    """Some workers in one loop, each with the number of times that it published."""

    def __init__(self, folder: Path, count: int) -> None:
        self.published = [0] * count
        self.each = [
            PublishRequests(folder, f"{number + 1}-1.0", lambda n=number: self._add(n)) for number in range(count)
        ]

    def _add(self, number: int) -> None:
        self.published[number] += 1


def run(folder: Path, count: int, check: Callable[[Workers], Awaitable[None]]) -> None:
    async def whole() -> None:
        workers = Workers(folder, count)
        with ExitStack() as ends:
            for each in workers.each:
                each.listen()
                ends.callback(each.close)
            await asyncio.wait_for(check(workers), 60)

    asyncio.run(whole())


def test_all_others_have_published_before_it_returns(tmp_path: Path) -> None:
    async def check(workers: Workers) -> None:
        for times in (1, 2, 3):
            await workers.each[1].all()
            assert workers.published == [times, 0, times]

    run(tmp_path, 3, check)
    assert list(tmp_path.iterdir()) == []


def test_calls_at_the_same_time_share_a_round_that_began_after_them(tmp_path: Path) -> None:
    async def check(workers: Workers) -> None:
        await asyncio.gather(*(workers.each[0].all() for _ in range(100)))
        assert workers.published == [0, 2]

    run(tmp_path, 2, check)


def test_more_workers_than_a_socket_keeps_datagrams_for(tmp_path: Path) -> None:
    count = 2 * int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) if Path("/proc").exists() else 50
    count = min(count, 60)

    async def check(workers: Workers) -> None:
        await asyncio.gather(*(each.all() for each in workers.each))
        assert min(workers.published) >= 1
        await workers.each[0].all()

    run(tmp_path, count, check)


def test_a_worker_that_hangs_or_has_died_is_not_waited_for_long(tmp_path: Path) -> None:
    async def check(workers: Workers) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hung:
            hung.bind(str(tmp_path / f"90-1.0{ENDING}"))
            await workers.each[0].all()
        await workers.each[0].all()  # its file is still there
        assert workers.published == [0, 2]

    run(tmp_path, 2, check)


def test_what_is_no_question_is_ignored(tmp_path: Path) -> None:
    async def check(workers: Workers) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for data in (b"", b"ask", b"ask 1 ../../etc", b"done 1 1-1.0.socket", b"\xff" * 500, b"ask 1 9-9.9.socket"):
                stranger.sendto(data, str(tmp_path / f"1-1.0{ENDING}"))
        await workers.each[1].all()
        assert workers.published[0] == 1

    run(tmp_path, 2, check)


@pytest.mark.parametrize("name", ["x" * 200, "é" * 60])
def test_a_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    test_all_others_have_published_before_it_returns(tmp_path / name)


def test_a_folder_that_disappears_is_listened_in_again_once_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    async def check(workers: Workers) -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        for each in workers.each:
            each.listen()
        await workers.each[0].all()
        assert workers.published == [0, 0]
        folder.mkdir()
        for each in workers.each:
            each.listen()
        await workers.each[0].all()
        assert workers.published == [0, 1]

    run(folder, 2, check)


def test_a_single_worker_asks_nobody() -> None:
    async def check() -> None:
        alone = PublishRequests(None, "1-1.0", lambda: None)
        alone.listen()
        await alone.all()
        alone.close()

    asyncio.run(check())


@pytest.mark.slow
def test_what_was_answered_is_counted_whichever_worker_is_asked(tmp_path: Path) -> None:
    """Each call has a connection of its own, which either worker may take."""
    publish(tmp_path)
    inference = document(tensor(digits(3)))
    with Server(tmp_path, workers=2, feedback_path=tmp_path / "f.sqlite") as server:

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
            status, _, answer = over_a_new_connection(server.port, method, path, body, **headers)
            assert status == 200
            return answer

        for times in range(1, 101):
            ask("POST", "/predict", digit(3).tobytes(), **OCTETS)
            ask("POST", "/v2/models/digits/infer", inference)
            [found] = json.loads(ask("GET", "/v2/models/digits/stats"))["model_stats"]
            counted = found["inference_count"], found["inference_stats"]["success"]["count"]
            assert counted == (2 * times, 2 * times)
            [line] = [line for line in ask("GET", "/metrics").decode().splitlines() if line.startswith(PREDICTIONS)]
            assert float(line.split()[-1]) == 2 * times
