"""The batcher: everybody gets his own rows, in order, whatever else waits, fails or goes away."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.concurrency import NICENESS
from service.engine.batcher import AdmissionLimit, Batcher
from service.errors import Unavailable
from tests.support.asgi import until

Array = NDArray[Any]
T = TypeVar("T")
POISON = -1


class Doubler:
    """Twice each row, and a note of every run; a row of -1 makes its whole run fail."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, str]] = []

    def __call__(self, rows: Array) -> Array:
        self.runs.append((len(rows), threading.current_thread().name))
        if (rows == POISON).any():
            raise ValueError("a poisoned row")
        return rows * 2


def run_(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; an answer that never comes is a failure, not a test that hangs."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def numbered(start: int, count: int) -> Array:
    """`count` rows (count, 3) that no other request has."""
    return np.arange(start, start + count)[:, None] * np.array([1, 1000, 1_000_000])


def batcher(run: Any = None, max_rows: int = 10_000, **options: int) -> tuple[Batcher, AdmissionLimit, Any]:
    queue, run = AdmissionLimit(max_rows), run or Doubler()
    return Batcher(run, queue, **options), queue, run


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 64), st.integers(1, 64))
def test_everybody_gets_his_own_rows(sizes: list[int], inline_rows: int, piece_rows: int) -> None:
    doubler, queue, _ = batcher(inline_rows=inline_rows, piece_rows=piece_rows)
    requests = [numbered(1000 * i, size) for i, size in enumerate(sizes)]

    async def all_at_once() -> list[Array]:
        return await asyncio.gather(*map(doubler.submit, requests))

    for rows, result in zip(requests, run_(all_at_once()), strict=True):
        assert np.array_equal(result, rows * 2)
    assert queue.rows == 0
    doubler.close()


def test_requests_of_one_turn_share_a_run() -> None:
    doubler, _, run = batcher(inline_rows=64)

    async def all_at_once() -> None:
        await asyncio.gather(*(doubler.submit(numbered(i, 1)) for i in range(64)))

    run_(all_at_once())
    assert [size for size, _ in run.runs] == [64]


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40))
def test_no_run_on_the_loop_is_longer_than_allowed(sizes: list[int]) -> None:
    doubler, _, run = batcher(inline_rows=10)

    async def all_at_once() -> None:
        await asyncio.gather(*(doubler.submit(numbered(0, size)) for size in sizes))

    run_(all_at_once())
    assert sum(size for size, _ in run.runs) == sum(sizes)
    assert max(size for size, _ in run.runs) <= 10
    assert all(one + other > 10 for (one, _), (other, _) in zip(run.runs[::2], run.runs[1::2], strict=False))


def test_a_lone_request_runs_in_the_next_turn_and_in_place() -> None:
    doubler, _, run = batcher()

    async def one() -> None:
        task = asyncio.ensure_future(doubler.submit(numbered(7, 2)))
        for _ in range(4):  # starts, runs, wakes, ends
            await asyncio.sleep(0)
        assert task.done()

    run_(one())
    assert run.runs == [(2, threading.main_thread().name)]


def test_a_full_batch_waits_for_nothing() -> None:
    """It runs before the row that no longer fits is taken in, in the same turn, and frees its place in the queue."""
    doubler, queue, run = batcher(inline_rows=4, max_rows=4)

    async def steps() -> None:
        futures = [asyncio.get_running_loop().create_future() for _ in range(6)]
        for future, size in zip(futures, (1, 2, 1, 3, 2, 1), strict=True):
            doubler.join(numbered(0, size), future)
        assert [future.done() for future in futures] == [True, True, True, True, False, False]
        assert (queue.rows, [rows for rows, _ in run.runs]) == (3, [4, 3])
        assert [len(await future) for future in futures] == [1, 2, 1, 3, 2, 1]

    run_(steps())
    assert (queue.rows, [rows for rows, _ in run.runs]) == (0, [4, 3, 3])


def test_a_big_array_runs_aside_in_pieces_and_small_ones_pass_it() -> None:
    passed = threading.Event()

    def run(rows: Array) -> Array:
        if threading.current_thread() is not threading.main_thread():
            assert len(rows) <= 100
            assert passed.wait(30), "the small request waited for the big one"
        return rows * 2

    slow, queue, _ = batcher(run, inline_rows=8, piece_rows=100)

    async def both() -> None:
        big = asyncio.ensure_future(slow.submit(numbered(0, 950)))
        small = await slow.submit(numbered(5000, 3))
        assert not big.done()
        passed.set()
        assert np.array_equal(small, numbered(5000, 3) * 2)
        assert np.array_equal(await big, numbered(0, 950) * 2)

    run_(both())
    assert queue.rows == 0
    slow.close()


def test_the_thread_of_big_arrays_gives_way() -> None:
    def niceness(rows: Array) -> Array:
        return np.full(len(rows), os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    nice, _, _ = batcher(niceness, inline_rows=1)

    async def both() -> tuple[Array, Array]:
        return await nice.submit(numbered(0, 2)), await nice.submit(numbered(0, 1))

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    aside, here = run_(both())
    assert (aside[0], here[0]) == (min(19, own + NICENESS), own)
    nice.close()


def test_a_failing_row_fails_only_its_own_caller() -> None:
    doubler, queue, _ = batcher(inline_rows=64)
    requests = [numbered(1 + 10 * i, 2) for i in range(12)]
    requests[5] = np.full((2, 3), POISON)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*map(doubler.submit, requests), return_exceptions=True)

    for i, (rows, result) in enumerate(zip(requests, run_(all_at_once()), strict=True)):
        if i == 5:
            assert isinstance(result, ValueError)
        else:
            assert np.array_equal(result, rows * 2)
    assert queue.rows == 0


def test_rows_of_another_shape_fail_only_their_own_caller() -> None:
    """Concatenating fails then, not running: nobody else may notice."""
    doubler, queue, _ = batcher()

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(doubler.submit(np.ones((1, width))) for width in (3, 3, 4, 3)))

    results = run_(all_at_once())
    assert [result.shape for result in results] == [(1, 3), (1, 3), (1, 4), (1, 3)]
    assert queue.rows == 0


def test_a_failing_big_array_fails_its_caller_and_the_thread_lives_on() -> None:
    doubler, queue, _ = batcher(inline_rows=4, piece_rows=4)
    bad = numbered(1, 10)
    bad[6] = POISON

    async def one_by_one() -> Array:
        with pytest.raises(ValueError, match="poisoned"):
            await doubler.submit(bad)
        return await doubler.submit(numbered(1, 10))

    assert np.array_equal(run_(one_by_one()), numbered(1, 10) * 2)
    assert queue.rows == 0
    doubler.close()


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=40))
def test_whoever_goes_away_harms_nobody(requests: list[tuple[int, bool]]) -> None:
    doubler, queue, _ = batcher(inline_rows=12, piece_rows=5)

    async def all_at_once() -> None:
        tasks = [asyncio.ensure_future(doubler.submit(numbered(100 * i, n))) for i, (n, _) in enumerate(requests)]
        await asyncio.sleep(0)
        for task, (_, leaves) in zip(tasks, requests, strict=True):
            if leaves:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for i, (result, (n, leaves)) in enumerate(zip(results, requests, strict=True)):
            if leaves:
                assert isinstance(result, asyncio.CancelledError)
            else:
                assert np.array_equal(result, numbered(100 * i, n) * 2)

    run_(all_at_once())
    assert queue.rows == 0
    doubler.close()


def test_small_requests_that_left_are_not_run() -> None:
    doubler, queue, run = batcher()

    async def leave() -> None:
        task = asyncio.ensure_future(doubler.submit(numbered(0, 3)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await doubler.submit(numbered(9, 1))

    run_(leave())
    assert [size for size, _ in run.runs] == [1]
    assert queue.rows == 0


def test_a_big_array_whose_caller_left_stops_at_the_next_piece() -> None:
    started, left = threading.Event(), threading.Event()
    pieces = []

    def run(rows: Array) -> Array:
        pieces.append(len(rows))
        started.set()
        assert left.wait(30)
        return rows

    slow, queue, _ = batcher(run, inline_rows=1, piece_rows=10)

    async def leave() -> None:
        task = asyncio.ensure_future(slow.submit(numbered(0, 1000)))
        await until(started.is_set)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert queue.rows == 0
        left.set()
        assert np.array_equal(await slow.submit(numbered(0, 15)), numbered(0, 15))

    run_(leave())
    assert pieces == [10, 10, 5]
    slow.close()


def test_the_queue_counts_rows_and_refuses_at_once() -> None:
    release = threading.Event()

    def run(rows: Array) -> Array:
        if len(rows) > 4:
            assert release.wait(30)
        return rows

    slow, queue, _ = batcher(run, max_rows=20, inline_rows=4, piece_rows=100)

    async def fill() -> None:
        big = asyncio.ensure_future(slow.submit(numbered(0, 17)))
        await asyncio.sleep(0)
        assert queue.rows == 17
        assert len(await slow.submit(numbered(0, 3))) == 3  # 20 fit
        with pytest.raises(Unavailable) as caught:
            await slow.submit(numbered(0, 4))  # 21 do not
        assert caught.value.retry_after >= 1
        assert caught.value.headers["Retry-After"].isdigit()
        assert queue.rows == 17
        release.set()
        await big
        assert len(await slow.submit(numbered(0, 4))) == 4

    run_(fill())
    assert queue.rows == 0
    slow.close()


def test_a_lone_request_larger_than_the_queue_may_pass() -> None:
    doubler, queue, _ = batcher(max_rows=5)
    assert len(run_(doubler.submit(numbered(0, 50)))) == 50
    assert queue.rows == 0


def test_batchers_share_a_queue() -> None:
    queue = AdmissionLimit(10)
    one, other = Batcher(Doubler(), queue), Batcher(Doubler(), queue)

    async def both() -> None:
        first = asyncio.ensure_future(one.submit(numbered(0, 8)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await other.submit(numbered(0, 3))
        await first

    run_(both())
    assert queue.rows == 0


def test_a_big_array_waits_a_moment_for_room() -> None:
    queue = AdmissionLimit(10)

    async def wait() -> None:
        queue.acquire(8)
        waiting = asyncio.ensure_future(queue.take(3))
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.release(8)
        await waiting

    run_(wait())
    assert queue.rows == 3


def test_no_rows_are_answered_with_none() -> None:
    doubler, queue, _ = batcher()
    assert len(run_(doubler.submit(numbered(0, 0)))) == 0
    assert queue.rows == 0
