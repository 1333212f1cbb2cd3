"""The writer's thread: what is acknowledged is on disk, what is refused is not written later, nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import Conflict, FeedbackFull, FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore, Outcome
from service.feedback.writer import FeedbackWriter
from tests.service.feedback.test_file import numbers, picture

PATIENCE_S = 60


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*fixtures: Any, **named: Any) -> None:
        asyncio.run(test(*fixtures, **named))

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wide(number: int, label: int = 1) -> Correction:
    """As `picture`, for numbers over 255."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[0, :2] = divmod(number, 256)
    return Correction(pixels, label)


def wide_numbers(path: Path) -> dict[int, int]:
    """Number and label of each picture in the file."""
    with closing(FeedbackStore(path)) as store:
        pixels, labels = store.digits()
    return {int(p[0, 0]) * 256 + int(p[0, 1]): int(label) for p, label in zip(pixels, labels, strict=True)}


@asynccontextmanager
async def writing(
    path: Path, max_queue: int = 1000, timeout_s: float = PATIENCE_S, max_rows: int = 1000
) -> AsyncIterator[FeedbackWriter]:
    writer = FeedbackWriter(FeedbackStore(path, max_rows), max_queue, timeout_s)
    try:
        yield writer
    finally:
        await writer.close()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process writes, as far as SQLite can tell."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def existing(path: Path) -> Path:
    with closing(FeedbackStore(path)) as store:
        store.add(wide(0))
    return path


@in_a_loop
async def test_those_that_wait_share_transactions(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    transactions: list[int] = []

    class Counted(FeedbackStore):
        def add_locked(self, corrections: Sequence[Correction]) -> list[Outcome]:
            transactions.append(len(corrections))
            return super().add_locked(corrections)

    writer = FeedbackWriter(Counted(path), 1000, PATIENCE_S)
    given = [writer.add(wide(number % 250, number % 10)) for number in range(500)]
    new = await asyncio.gather(*given)
    await writer.close()
    assert new == [True] * 250 + [False] * 250
    assert wide_numbers(path) == {number: number % 10 for number in range(250)}
    assert len(transactions) <= 5
    assert sum(transactions) == 500


@pytest.mark.slow
@in_a_loop
async def test_after_a_pause_the_file_is_closed_and_complete(tmp_path: Path) -> None:
    async with writing(tmp_path / "f.sqlite") as writer:
        for number in range(2):
            assert await writer.add(picture(number))
            async with asyncio.timeout(PATIENCE_S):
                while names(tmp_path) != ["f.sqlite"]:  # noqa: ASYNC110 - the file system sends no event
                    await asyncio.sleep(0.05)
    assert numbers(tmp_path / "f.sqlite") == [0, 1]


@in_a_loop
async def test_what_waits_too_long_is_never_written(tmp_path: Path) -> None:
    """Of 200 corrections the lock outlives those with a short deadline, and the later ones are all written."""
    path = existing(tmp_path / "f.sqlite")
    async with writing(path, timeout_s=0.2) as writer:
        with locked(path):
            given = [writer.add(wide(number)) for number in range(1, 200)]
            refused = await asyncio.gather(*given, return_exceptions=True)
        assert {type(each) for each in refused} == {FeedbackUnavailable}
        assert str(refused[0]) == (
            "The feedback file could not be used within 0.2 seconds, because another process holds its lock. "
            "Nothing was stored; try again later."
        )
        assert refused[0].headers == {"Retry-After": "5"}  # type: ignore[union-attr]
    async with writing(path) as writer:
        assert await writer.add(wide(200))
    assert set(wide_numbers(path)) == {0, 200}


@in_a_loop
async def test_a_caller_that_goes_away_has_given_up_its_correction(tmp_path: Path) -> None:
    path = existing(tmp_path / "f.sqlite")
    async with writing(path) as writer:
        with locked(path):
            task = asyncio.create_task(writer.add(wide(1)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            kept = asyncio.create_task(writer.add(wide(2)))
            await asyncio.sleep(0)
        assert await kept
    assert set(wide_numbers(path)) == {0, 2}


@in_a_loop
async def test_of_two_labels_the_first_stands(tmp_path: Path) -> None:
    path = existing(tmp_path / "f.sqlite")
    async with writing(path) as writer:
        with locked(path):
            given = [
                asyncio.create_task(writer.add(wide(number, label))) for label in (3, 5) for number in range(1, 21)
            ]
            await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(*given, return_exceptions=True)
    assert [type(each) for each in outcomes] == [bool] * 20 + [Conflict] * 20
    assert set(wide_numbers(path).values()) == {1, 3}  # 1 was there


@in_a_loop
async def test_the_queue_has_an_end(tmp_path: Path) -> None:
    path = existing(tmp_path / "f.sqlite")
    async with writing(path, max_queue=3) as writer:
        with locked(path):
            given = [asyncio.create_task(writer.add(wide(number))) for number in range(1, 4)]
            await asyncio.sleep(0)
            with pytest.raises(FeedbackUnavailable, match=r"^3 requests for the feedback file are waiting") as refused:
                await writer.add(wide(9))
            assert refused.value.headers == {"Retry-After": "1"}
            given[0].cancel()
            await asyncio.sleep(0)
            given.append(asyncio.create_task(writer.add(wide(4))))
            await asyncio.sleep(0)
        await asyncio.gather(*given[1:])
    assert set(wide_numbers(path)) == {0, 2, 3, 4}


@in_a_loop
async def test_the_limit_holds_within_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    async with writing(path, max_rows=50) as writer:
        given = [writer.add(wide(number)) for number in [*range(80), *range(10)]]
        outcomes = await asyncio.gather(*given, return_exceptions=True)
    assert outcomes[:50] == [True] * 50
    assert {type(each) for each in outcomes[50:80]} == {FeedbackFull}
    assert outcomes[80:] == [False] * 10
    assert len(wide_numbers(path)) == 50


@in_a_loop
async def test_counts_are_read_while_the_file_is_locked(tmp_path: Path) -> None:
    path = existing(tmp_path / "f.sqlite")
    async with writing(path) as writer:
        with locked(path):
            given = asyncio.create_task(writer.add(wide(1)))
            await asyncio.sleep(0)
            found = await asyncio.gather(*(writer.stats() for _ in range(20)))
            assert {each["digits"] for each in found} == {1}
            assert not given.done()
        await given


@in_a_loop
async def test_counts_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "f.sqlite").write_bytes(b"no database" * 1000)
    async with writing(tmp_path / "f.sqlite") as writer:
        with pytest.raises(FeedbackUnavailable, match="it is damaged"):
            await writer.stats()


@in_a_loop
async def test_trouble_is_logged_once_and_its_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service")
    folder = tmp_path / "volume"
    async with writing(folder / "f.sqlite") as writer:
        for number in range(3):
            with pytest.raises(FeedbackUnavailable, match="its folder does not exist"):
                await writer.add(picture(number))
        folder.mkdir()
        assert await writer.add(picture(3))
    assert [record.getMessage() for record in caplog.records] == [
        "Feedback is not stored: The feedback file cannot be used: its folder does not exist; create it, or mount the "
        "volume. Nothing was stored; try again later.",
        "The feedback file can be written again",
    ]


@in_a_loop
async def test_an_unforeseen_error_ends_no_thread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = Correction("not an array", 1)  # type: ignore[arg-type]
    async with writing(tmp_path / "f.sqlite") as writer:
        for number in range(3):
            with pytest.raises(FeedbackUnavailable, match="The service failed to use the feedback file"):
                await writer.add(wrong)
            assert await writer.add(picture(number))
    assert "not an array" not in caplog.text
    assert caplog.text.count("AttributeError") == 3
    assert numbers(tmp_path / "f.sqlite") == [0, 1, 2]


@in_a_loop
async def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    path = existing(tmp_path / "f.sqlite")
    writer = FeedbackWriter(FeedbackStore(path), 1000, PATIENCE_S)
    with locked(path):
        given = [asyncio.create_task(writer.add(wide(number))) for number in range(1, 100)]
        await asyncio.sleep(0)
        closing_it = asyncio.create_task(writer.close())
        await asyncio.sleep(0.05)
        assert not closing_it.done()
    await closing_it
    assert all(await asyncio.gather(*given))
    assert len(wide_numbers(path)) == 100
    assert names(tmp_path) == ["f.sqlite"]
    with pytest.raises(FeedbackUnavailable, match="stopping"):
        await writer.add(wide(0))
    with pytest.raises(FeedbackUnavailable, match="stopping"):
        await writer.stats()
    await writer.close()


@in_a_loop
async def test_refusals_leave_nothing_in_memory(tmp_path: Path) -> None:
    """The garbage collector hardly ever runs in the service: an error must go without it."""

    async def refuse(writer: FeedbackWriter) -> None:
        try:
            await writer.add(picture(1))
        except FeedbackUnavailable:
            return
        raise AssertionError("it was stored")

    def left() -> int:
        return sum(isinstance(each, (FeedbackUnavailable, Correction)) for each in gc.get_objects())

    async with writing(tmp_path / "missing" / "f.sqlite") as writer:
        await refuse(writer)
        gc.collect()
        before = left()
        gc.disable()
        try:
            for _ in range(50):
                await refuse(writer)
            assert left() <= before + 2
        finally:
            gc.enable()


@pytest.mark.slow
@in_a_loop
async def test_a_disk_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """The thread stands still in a transaction: its caller is told of the doubt, others that nothing was stored."""
    goes_on = threading.Event()

    class Hanging(FeedbackStore):
        def add_locked(self, corrections: Sequence[Correction]) -> list[Outcome]:
            goes_on.wait(PATIENCE_S)
            return super().add_locked(corrections)

    path = tmp_path / "f.sqlite"
    writer = FeedbackWriter(Hanging(path), 1000, 0.3)
    with pytest.raises(
        FeedbackUnavailable, match=r"A correction may be stored or not; sending it again does no harm\.$"
    ):
        await writer.add(wide(1))
    for call in (writer.add(wide(2)), writer.stats()):
        with pytest.raises(FeedbackUnavailable, match=r"Nothing was stored; try again later\.$"):
            await call
    await writer.close()  # gives up
    assert writer._thread
    assert writer._thread.is_alive()
    goes_on.set()
    await asyncio.to_thread(writer._thread.join, PATIENCE_S)
    assert set(wide_numbers(path)) == {1}
