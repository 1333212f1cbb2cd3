"""How long a caller waits for the feedback file, and what it is told where that was in vain."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from service.errors import DigitsError, FeedbackUnavailable
from service.feedback.patience import Patience, result

LONG_S = 60.0


def wait_for(future: Future[int], patience: Patience, late: str = "") -> int | DigitsError:
    return asyncio.run(patience.outcome(future, lambda: late))


def running() -> Future[int]:
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()
    return future


def test_what_comes_in_time_is_the_outcome() -> None:
    future: Future[int] = Future()
    threading.Timer(0.05, future.set_result, (7,)).start()
    assert wait_for(future, Patience(LONG_S)) == 7


def test_what_was_not_begun_is_certainly_not_stored() -> None:
    future: Future[int] = Future()
    late = wait_for(future, Patience(0.05), ", because of the test")
    assert str(late) == (
        "The feedback file could not be used within 0.05 seconds, because of the test. Nothing was stored; "
        "try again later."
    )
    assert future.cancelled()


def test_what_was_begun_is_in_doubt() -> None:
    assert "may be stored or not" in str(wait_for(running(), Patience(0.05)))


def test_giving_up_answers_all_that_wait_at_once() -> None:
    async def check() -> list[int | DigitsError]:
        patience, begun = Patience(LONG_S), running()
        waiting = [asyncio.create_task(patience.outcome(future, str)) for future in (Future[int](), begun)]
        await asyncio.sleep(0.05)
        threading.Thread(target=patience.give_up).start()
        return await asyncio.wait_for(asyncio.gather(*waiting), LONG_S / 2)

    queued, begun = asyncio.run(check())
    assert "stores no more corrections" in str(queued)
    assert "its disk gave no answer" in str(begun)


def test_an_error_is_raised_and_a_value_returned() -> None:
    assert result(3) == 3
    error = FeedbackUnavailable("no")
    with pytest.raises(FeedbackUnavailable) as raised:
        result(error)
    assert raised.value is error
