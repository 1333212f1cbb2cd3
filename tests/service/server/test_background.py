"""Tasks that must live: one that fails is logged, counted and started again, with longer and longer pauses."""

from __future__ import annotations

import asyncio
import errno

import pytest

from service.server import background
from service.server.background import every, keep_running
from tests.support.asgi import until


def test_a_task_that_fails_is_started_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    failures: list[str] = []
    calls = 0

    def job() -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise OSError(errno.EMFILE, "Too many open files")

    async def run() -> None:
        task = asyncio.create_task(keep_running("scoreboard", lambda: every(0, job), failures.append))
        await until(lambda: calls > 10)
        task.cancel()

    asyncio.run(run())
    assert failures == ["scoreboard"] * 3
    assert caplog.text.count("scoreboard failed ([Errno 24] Too many open files)") == 3
    for pause in ("0.001 s", "0.002 s", "0.004 s"):
        assert pause in caplog.text


def test_a_task_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    calls: list[str] = []

    async def work() -> None:
        calls.append("x")

    async def run() -> None:
        task = asyncio.create_task(keep_running("short", work, lambda _: None))
        await until(lambda: len(calls) > 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
