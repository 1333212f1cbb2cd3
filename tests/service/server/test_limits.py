"""The limits of one connection, asked at times of our choice."""

from __future__ import annotations

from service.server.limits import HEAD_TIMEOUT_S, Limits

IDLE_S = 75.0
UNREAD_TIMEOUT_S = 60.0
MADE = 1000.0  # when the connection was made


def test_the_first_head_is_awaited_from_the_start() -> None:
    limits = Limits(IDLE_S, MADE)
    assert limits.seconds_left(MADE + 10, answering=False) == HEAD_TIMEOUT_S - 10
    assert not limits.head_is_too_slow(MADE + HEAD_TIMEOUT_S - 0.1)
    assert limits.seconds_left(MADE + HEAD_TIMEOUT_S, answering=False) <= 0
    assert limits.head_is_too_slow(MADE + HEAD_TIMEOUT_S)


def test_a_connection_may_be_idle_longer_than_a_head_may_take() -> None:
    limits = Limits(IDLE_S, MADE)
    limits.head_since, limits.idle_since = 0.0, MADE + 5  # a request was answered
    assert limits.seconds_left(MADE + 35, answering=False) == 5 + IDLE_S - 35
    assert not limits.head_is_too_slow(MADE + 1000)
    assert limits.seconds_left(MADE + 5 + IDLE_S, answering=False) <= 0


def test_nothing_runs_out_while_a_request_is_answered() -> None:
    """However long it takes. A head behind it has all its time afterwards: it may not have been read."""
    limits = Limits(IDLE_S, MADE)
    limits.head_since = 0.0
    assert limits.seconds_left(MADE + 1000, answering=True) == IDLE_S
    limits.head_since = MADE + 1000
    assert limits.seconds_left(MADE + 2000, answering=True) == HEAD_TIMEOUT_S
    assert limits.seconds_left(MADE + 2010, answering=False) == HEAD_TIMEOUT_S - 10


def test_an_answer_of_which_no_byte_is_taken_for_too_long() -> None:
    limits = Limits(IDLE_S, MADE)
    assert not limits.client_reads_nothing(MADE + 500, 0, UNREAD_TIMEOUT_S)
    assert not limits.client_reads_nothing(MADE + 1000, 70_000, UNREAD_TIMEOUT_S)
    assert not limits.client_reads_nothing(MADE + 1000 + UNREAD_TIMEOUT_S - 1, 70_000, UNREAD_TIMEOUT_S)
    assert limits.client_reads_nothing(MADE + 1000 + UNREAD_TIMEOUT_S, 70_000, UNREAD_TIMEOUT_S)
    assert not limits.client_reads_nothing(MADE + 2000, 69_999, UNREAD_TIMEOUT_S)  # some bytes were
    assert not limits.client_reads_nothing(MADE + 2000 + UNREAD_TIMEOUT_S - 1, 69_999, UNREAD_TIMEOUT_S)
