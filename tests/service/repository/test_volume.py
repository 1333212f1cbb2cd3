"""File calls off the event loop: what they return and raise, and what happens while one of them hangs."""

from __future__ import annotations

import asyncio
import threading
from time import perf_counter, sleep

import pytest

from service.errors import NoSuchModel, Unavailable
from service.repository.volume import Volume


def test_a_call_returns_what_its_function_returns_in_another_thread() -> None:
    async def ask() -> tuple[int, str]:
        return await Volume(5).call(lambda a, b: (a + b, threading.current_thread().name), 1, 2)

    assert asyncio.run(ask()) == (3, "volume")


def test_a_thread_without_a_loop_waits_for_the_answer_under_the_same_limit() -> None:
    volume, go_on = Volume(0.1), threading.Event()
    assert volume.wait(lambda a, b: (a + b, threading.current_thread().name), 1, 2, timeout_s=60) == (3, "volume")
    with pytest.raises(NoSuchModel, match="none"):
        volume.wait(_raise, NoSuchModel("none"), timeout_s=60)
    with pytest.raises(TimeoutError, match="its own"):
        volume.wait(_raise, TimeoutError("its own"), timeout_s=60)
    with pytest.raises(Unavailable, match=r"did not answer within 0\.1 s"):
        volume.wait(go_on.wait)
    until_overdue(volume)
    with pytest.raises(Unavailable, match="has not answered"):
        volume.wait(list)
    go_on.set()


def until_overdue(volume: Volume) -> None:
    """The thread counts from when it begins, a moment after its caller."""
    while not volume.trouble:
        sleep(0.001)


def _raise(error: Exception) -> None:
    raise error


def test_a_call_raises_what_its_function_raises() -> None:
    def fails() -> None:
        raise NoSuchModel("none")

    with pytest.raises(NoSuchModel, match="none"):
        asyncio.run(Volume(5).call(fails))


def test_while_a_call_hangs_others_fail_at_once_and_afterwards_they_work_again() -> None:
    async def stalled() -> None:
        volume, go_on = Volume(0.1), threading.Event()
        with pytest.raises(Unavailable, match=r"did not answer within 0\.1 s"):
            await volume.call(go_on.wait)
        until_overdue(volume)
        began = perf_counter()
        for _ in range(100):
            with pytest.raises(Unavailable, match="has not answered"):
                await volume.call(list)
        assert perf_counter() - began < 5  # at once: a hundred limits would be ten seconds
        assert "versions in memory serve on" in volume.trouble
        go_on.set()
        async with asyncio.timeout(30):
            while volume.trouble or await answer(volume) is None:  # noqa: ASYNC110 - the thread is waited for
                await asyncio.sleep(0.01)

    async def answer(volume: Volume) -> list[int] | None:
        """Of a call that may take longer than the limit where the machine is busy."""
        try:
            return await volume.call(list)
        except Unavailable:
            return None

    asyncio.run(stalled())


def test_a_longer_limit_of_one_call_is_no_trouble() -> None:
    async def long_call() -> None:
        volume, go_on = Volume(0.05), threading.Event()
        task = asyncio.create_task(volume.call(go_on.wait, timeout_s=60))
        await asyncio.sleep(0.2)
        assert volume.trouble == ""
        go_on.set()
        assert await task

    asyncio.run(long_call())


def test_the_thread_ends_when_the_volume_is_closed() -> None:
    async def use() -> threading.Thread:
        volume = Volume(5)
        await volume.call(list)
        thread = volume._thread
        assert thread is not None
        volume.close()
        return thread

    thread = asyncio.run(use())
    thread.join(30)
    assert not thread.is_alive()


def test_a_write_that_waits_holds_no_read_up() -> None:
    async def both() -> None:
        volume, go_on = Volume(5), threading.Event()
        write = asyncio.create_task(volume.write(go_on.wait))
        await asyncio.sleep(0)
        assert await volume.call(list) == []
        assert not write.done()
        go_on.set()
        assert await write
        volume.close()

    asyncio.run(both())


def test_while_reads_hang_a_write_fails_at_once() -> None:
    async def stalled() -> None:
        volume, go_on = Volume(0.05), threading.Event()
        with pytest.raises(Unavailable):
            await volume.call(go_on.wait)
        until_overdue(volume)
        with pytest.raises(Unavailable, match="has not answered"):
            await volume.write(list)
        go_on.set()

    asyncio.run(stalled())


def test_who_waits_is_told_when_the_process_is_about_to_stop() -> None:
    async def both() -> None:
        volume, go_on = Volume(60), threading.Event()
        waiting = [asyncio.create_task(call(go_on.wait)) for call in (volume.call, volume.write, volume.call)]
        await asyncio.sleep(0)
        threading.Thread(target=volume.give_up).start()
        for each in waiting:
            with pytest.raises(Unavailable, match="is stopping"):
                await each
        go_on.set()
        assert await volume.call(list) == []
        volume.close()

    asyncio.run(both())
