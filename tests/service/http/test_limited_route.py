"""The body of POST /feedback: at most 64 KiB, plain or compressed, and not for longer than the body timeout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.http.limited_route import MAX_JSON_BYTES
from tests.support.refusals import ANY, check_problem
from tests.support.server import Server

GIVEN = json.dumps({"digit": [0] * 784, "label": 3}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def impatient(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    feedback = tmp_path_factory.mktemp("impatient") / "feedback.sqlite"
    with Server(models_dir, body_timeout_s=0.5, feedback_path=feedback) as running:
        yield running


def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not(server: Server) -> None:
    for size, statuses in ((MAX_JSON_BYTES, (200, 201)), (MAX_JSON_BYTES + 1, (413,))):
        padded = GIVEN + b" " * (size - len(GIVEN))
        for body in (padded, iter([padded[:1000], padded[1000:]])):  # an iterator is sent in chunks
            answer = server.client.post("/feedback", content=body, headers=JSON)
            assert answer.status_code in statuses
            if answer.status_code == 413:
                problem = check_problem(answer.status_code, answer.headers, answer.content, 413)
                assert "65,536 bytes" in problem["detail"]


def test_a_compressed_body_is_limited_by_what_it_unpacks_to(server: Server) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    assert server.client.post("/feedback", content=gzip.compress(GIVEN), headers=headers).is_success
    bomb = gzip.compress(GIVEN + b" " * 10_000_000)
    assert len(bomb) < MAX_JSON_BYTES
    assert server.client.post("/feedback", content=bomb, headers=headers).status_code == 413


@pytest.mark.slow
def test_a_body_that_does_not_come_is_not_waited_for_forever(impatient: Server) -> None:
    with impatient.socket() as connection:
        connection.sendall(
            b"POST /feedback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(GIVEN)
        )
        connection.sendall(GIVEN[:-1])
        answer = b""
        while not answer.endswith(b"}"):
            part = connection.recv(65536)
            assert part, answer
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"0.5 seconds" in answer


def test_a_call_without_a_body_needs_none(impatient: Server) -> None:
    assert impatient.client.get("/feedback/stats").status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 60_000, b"null", b"\x00"])
def test_what_is_no_feedback_is_refused(server: Server, body: bytes) -> None:
    answer = server.client.post("/feedback", content=body, headers=JSON)
    check_problem(answer.status_code, answer.headers, answer.content, (400, 422), ANY)
