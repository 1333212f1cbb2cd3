"""Request ids: the caller's if it is valid, else a new one."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from service.telemetry.request_ids import RequestIds


@pytest.mark.parametrize("given", [b"a", b"abc-123/~", b"!" * 128])
def test_a_valid_id_of_the_caller_is_kept(given: bytes) -> None:
    assert RequestIds().of([(b"host", b"x"), (b"x-request-id", given)]) == given


@pytest.mark.parametrize("given", [b"", b"a b", b"a\tb", b"a\n", b"\x00", b"\x7f", "é".encode(), b"x" * 129])
def test_an_invalid_one_is_replaced(given: bytes) -> None:
    made = RequestIds().of([(b"x-request-id", given)])
    assert made != given
    assert re.fullmatch(rb"[0-9a-f]{32}", made)


def test_the_first_valid_one_counts() -> None:
    assert RequestIds().of([(b"x-request-id", b""), (b"x-request-id", b"a"), (b"x-request-id", b"b")]) == b"a"


def test_ids_differ_and_say_nothing_of_each_other() -> None:
    ids = [RequestIds() for _ in range(10)]
    made = [one.of([]) for one in ids for _ in range(300)]
    assert len(set(made)) == 3000
    for at in range(0, 32, 4):  # no part of an id is shared by many others
        assert max(Counter(each[at : at + 4] for each in made).values()) < 20
