"""Redeploying without anyone noticing: 32 busy connections while versions come, go and turn out to be broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.repository.writer import RepositoryWriter
from tests.support.models import BROKEN, card_for, classifier, digit, publish
from tests.support.server import Server

pytestmark = pytest.mark.slow
CONNECTIONS = 32
PATIENCE_S = 60


class Crowd:
    """Clients that ask without pause and check every answer against the version it names.

    Attributes:
        answers: how many each version gave.
        wrong: what should not have been; connections that were cut too, unless the crowd is `forgiving`.
        cut: how many were forgiven; the client asks again.
    """

    def __init__(self, server: Server, shifts: dict[int, int], forgiving: bool = False) -> None:
        self._server = server
        self._shifts = shifts
        self._stopped = False
        self._forgiving = forgiving
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.cut = 0

    async def keep_asking(self) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=self._server.url, limits=limits, timeout=PATIENCE_S) as client:
            await asyncio.gather(*(self._one(client, value % 10) for value in range(CONNECTIONS)))

    async def answered(self, version: int, more: int) -> None:
        """Wait for so many more answers of a version."""
        enough = self.answers[version] + more
        while self.answers[version] < enough:  # noqa: ASYNC110 - an Event would have to know every number waited for
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._stopped = True

    async def _one(self, client: httpx.AsyncClient, value: int) -> None:
        body, headers = digit(value).tobytes(), {"content-type": "application/octet-stream"}
        while not self._stopped:
            try:
                answer = await client.post("/predict", content=body, headers=headers)
                found = answer.raise_for_status().json()
            except httpx.HTTPError as error:
                if self._forgiving and isinstance(error, httpx.TransportError):
                    self.cut += 1
                    continue
                self.wrong.append(repr(error))
                return
            version = found["model"]["version"]
            self.answers[version] += 1
            if found["predictions"][0]["digit"] != (value + self._shifts[version]) % 10:
                self.wrong.append(f"{value} by version {version}: {found['predictions']}")


def workers(server: Server) -> list[dict[str, Any]]:
    return list(server.client.get("/models/digits").json()["workers"])


async def until(server: Server, true_of: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until something holds of every worker."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(true_of(worker) for worker in await asyncio.to_thread(workers, server)):
        assert time.monotonic() < deadline, workers(server)
        await asyncio.sleep(0.05)


def broken_versions(root: Path) -> list[int]:
    """Versions that look published and must never be served, and one number that names nothing."""
    repository, good = RepositoryWriter(root), classifier(9)
    kinds = [BROKEN["truncated"], BROKEN["input of 32x32"], BROKEN["output of another name"], BROKEN["zeros"]]
    versions = [repository.publish("digits", lambda _, data=data: data, card_for(good)) for data in kinds]

    def spoilt(spoil: Callable[[Path], Any]) -> None:
        versions.append(repository.publish("digits", lambda _: good, card_for(good)))
        spoil(root / "digits" / str(versions[-1]))

    spoilt(lambda folder: (folder / "model.onnx").write_bytes(good[:-100]))
    spoilt(lambda folder: (folder / "card.json").write_text(json.dumps(card_for(good) | {"sha256": "0" * 64})))
    spoilt(lambda folder: (folder / "card.json").unlink())
    spoilt(lambda folder: [file.unlink() for file in folder.iterdir()])
    spoilt(lambda folder: ((folder / "model.onnx").unlink(), (folder / "model.onnx").mkdir()))
    spoilt(lambda folder: (folder / "model.onnx").chmod(0))
    if os.geteuid() == 0:  # whom no permission stops
        versions.pop()
    return [*versions, 4711]


def memory(server: Server) -> int:
    """Resident memory of the service and its workers, in bytes; checkers that come and go left out.

    Not the proportional one: that changes with whoever else on this machine has the same libraries loaded.
    """
    parent = psutil.Process(server.process.pid)
    return sum(_weighed(process) for process in [parent, *parent.children()])


def _weighed(process: psutil.Process) -> int:
    try:
        return 0 if "service.engine.validation" in " ".join(process.cmdline()) else int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # a checker that has just ended
        return 0


@pytest.mark.parametrize(("count", "moves"), [(1, 50), (2, 16)], ids=["one worker", "two workers"])
def test_nobody_notices(tmp_path: Path, count: int, moves: int) -> None:
    shifts = {publish(tmp_path, shift=shift): shift for shift in (1, 2, 3)}
    good, broken = list(shifts), broken_versions(tmp_path)
    repository = RepositoryWriter(tmp_path)

    async def redeploy(server: Server, crowd: Crowd) -> list[int]:
        asking = asyncio.create_task(crowd.keep_asking())
        sizes = []
        for move in range(moves):
            version = broken[move // 2 % len(broken)] if move % 2 else good[move // 2 % len(good)]
            served = repository.current("digits") if not move % 2 else good[(move - 1) // 2 % len(good)]
            (tmp_path / "digits" / "current").write_text(f"{version}\n")
            if version in good:
                await until(server, lambda worker, v=version: worker["version"] == v)
            else:
                await until(server, lambda worker, v=served: worker["refused"] is not None and worker["version"] == v)
            if move in (3, moves - 1):
                sizes.append(memory(server))
        crowd.stop()
        await asking
        return sizes

    with Server(
        tmp_path, workers=count, recent_rows=256
    ) as server:  # a ring that is full before memory is first weighed
        crowd = Crowd(server, shifts)
        early, late = asyncio.run(redeploy(server, crowd))
        metrics = server.client.get("/metrics").text
    assert crowd.wrong == []
    assert sum(crowd.answers.values()) > 20 * moves
    assert set(crowd.answers) == set(good)
    assert late < 1.1 * early
    assert 'digits_candidate_refused{model="digits"} 1.0' in metrics


def test_a_refusal_is_said_once_and_a_mended_version_is_taken(tmp_path: Path) -> None:
    publish(tmp_path)
    second = publish(tmp_path, shift=1, promote=False)
    file = tmp_path / "digits" / str(second) / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])

    async def mend(server: Server) -> None:
        RepositoryWriter(tmp_path).promote("digits", second)
        await until(server, lambda worker: worker["refused"] is not None)
        ready = server.client.get("/health/ready")
        assert ready.status_code == 200
        assert "SHA-256" in ready.json()["refused"]["digits"]
        file.write_bytes(whole)
        await until(server, lambda worker: worker["version"] == second and worker["refused"] is None)
        assert server.client.get("/health/ready").json()["refused"] == {}

    with Server(tmp_path) as server:
        asyncio.run(mend(server))
        code, log = server.stop()
    assert code == 0
    assert log.count("stays on the version it serves") == 1


def test_a_worker_killed_under_load_is_replaced_and_serves_what_is_promoted(tmp_path: Path) -> None:
    """It takes the requests in its hands with it, one a connection at most; every answer that came is right."""
    first, second = publish(tmp_path), publish(tmp_path, shift=1, promote=False)

    async def kill_one(server: Server, crowd: Crowd) -> None:
        await until(server, lambda worker: worker["version"] == first)
        asking = asyncio.create_task(crowd.keep_asking())
        await crowd.answered(first, 500)
        victim = (await asyncio.to_thread(workers, server))[0]["pid"]
        RepositoryWriter(tmp_path).promote("digits", second)
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(httpx.TransportError):  # the connection may be the victim's
                now = await asyncio.to_thread(workers, server)
                if len(now) == 2 and all(w["version"] == second and w["pid"] != victim for w in now):
                    break
            assert time.monotonic() < deadline, now
            await asyncio.sleep(0.05)
        await crowd.answered(second, 500)
        crowd.stop()
        await asking

    with Server(tmp_path, workers=2) as server:
        crowd = Crowd(server, {first: 0, second: 1}, forgiving=True)
        asyncio.run(kill_one(server, crowd))
    assert crowd.wrong == []
    assert crowd.cut <= CONNECTIONS
    assert set(crowd.answers) == {first, second}
