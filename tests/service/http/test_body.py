"""Reading bodies from real sockets: wrong lengths, slow clients, disconnects, and data that is hardly HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.asgi import call
from tests.support.bodies import as_json
from tests.support.models import digits
from tests.support.refusals import LIMITS, check_problem
from tests.support.server import Server

LIMIT = LIMITS["max_body_bytes"]
OCTETS = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
DIGIT = digits(7).tobytes()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def digits(self) -> list[int]:
        assert self.status == 200, self.body
        return [prediction["digit"] for prediction in json.loads(self.body)["predictions"]]


class Connection:
    """A bare socket to the service, for requests that no HTTP client would send."""

    def __init__(self, server: Server, receive_buffer: int = 0) -> None:
        self.socket = server.socket(receive_buffer)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self) -> Answer:
        status = int(self._stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self._stream.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self._stream.read(int(headers["content-length"])))

    def rest(self) -> bytes:
        """All bytes until the service closes the connection."""
        return self._stream.read()


def send(server: Server, *pieces: bytes) -> Answer:
    with Connection(server) as connection:
        connection.send(*pieces)
        return connection.answer()


def in_chunks(pieces: Iterable[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def still_answers(server: Server) -> None:
    assert send(server, OCTETS, b"Content-Length: 784\r\n\r\n", DIGIT).digits == [7]


# -- too much ---------------------------------------------------------------------------------------------------


def test_a_chunked_body_over_the_limit_is_rejected_before_its_end(strict_server: Server) -> None:
    """No Content-Length and no last chunk: the error arrives while the client is still sending."""
    chunk = in_chunks([bytes(100_000)], end=b"")
    with Connection(strict_server) as connection:
        connection.send(OCTETS + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LIMIT // 100_000 + 1):
            connection.send(chunk)
        answer = connection.answer()
    check_problem(answer.status, answer.headers, answer.body, 413, says="4,000,000 bytes")
    still_answers(strict_server)


def test_a_content_length_over_the_limit_is_rejected_before_the_body(strict_server: Server) -> None:
    for size in (LIMIT + 1, 10**12, 2**63 - 1):
        answer = send(strict_server, OCTETS, b"Content-Length: %d\r\n\r\n" % size)
        check_problem(answer.status, answer.headers, answer.body, 413)
    still_answers(strict_server)


def test_a_chunked_body_of_exactly_the_limit_is_read(strict_server: Server) -> None:
    """It is rejected for its content (5,102 digits and some bytes), not for its size."""
    answer = send(strict_server, OCTETS, b"Transfer-Encoding: chunked\r\n\r\n", in_chunks([bytes(100_000)] * 40))
    check_problem(answer.status, answer.headers, answer.body, 400, says="multiple of 784")


def test_a_client_that_only_sends_is_not_waited_for(strict_server: Server) -> None:
    """One that sends ten times the limit and reads nothing until the end still gets its 413, or is cut off."""
    with Connection(strict_server) as connection:
        connection.send(OCTETS + b"Content-Length: %d\r\n\r\n" % (10 * LIMIT))
        try:
            for _ in range(10):
                connection.send(bytes(LIMIT))
            answer = connection.answer()
            assert answer.status == 413
        except ConnectionError:
            pass
    still_answers(strict_server)


@pytest.mark.parametrize("path", ["/predict", "/feedback", "/models/digits/rollback"])
def test_no_door_takes_more_than_the_limit(strict_server: Server, path: str) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % path.encode()
    answer = send(strict_server, head, b"Content-Length: %d\r\n\r\n" % (LIMIT + 1), b" " * (LIMIT + 1))
    assert answer.status in ((413,) if path != "/models/digits/rollback" else (401, 403, 413))
    still_answers(strict_server)


# -- too little, too late ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits half a second for a body: for nothing else, since a loaded machine may send one slower."""
    feedback = tmp_path_factory.mktemp("impatient") / "feedback.sqlite"
    with Server(models_dir, body_timeout_s=0.5, feedback_path=feedback) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (b"Content-Length: 784\r\n\r\n", b""),
        (b"Content-Length: 784\r\n\r\n", DIGIT[:-1]),
        (b"Transfer-Encoding: chunked\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n", in_chunks([DIGIT], end=b"")),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"310\r\n" + DIGIT[:-1]),
    ],
    ids=["headers alone", "a byte short", "no chunk", "no last chunk", "a short chunk"],
)
def test_a_body_that_does_not_come_is_not_waited_for_forever(impatient: Server, head: bytes, sent: bytes) -> None:
    answer = send(impatient, OCTETS + head + sent)
    check_problem(answer.status, answer.headers, answer.body, 408, says="0.5 seconds")
    still_answers(impatient)


def test_a_slow_body_is_read_as_it_comes(server: Server) -> None:
    with Connection(server) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT:
            connection.send(bytes([byte]))
        assert connection.answer().digits == [7]


def test_a_chunked_body_is_a_body(server: Server) -> None:
    pixels = digits(*range(10)).tobytes()
    for size in (1, 100, 784, 7840):
        chunks = in_chunks(pixels[at : at + size] for at in range(0, len(pixels), size))
        assert send(server, OCTETS, b"Transfer-Encoding: chunked\r\n\r\n", chunks).digits == list(range(10))


def test_expect_100_continue(server: Server) -> None:
    """curl sends Expect: 100-continue before a body of over a megabyte: one is accepted, one rejected."""
    with Connection(server) as connection:
        connection.send(OCTETS + b"Content-Length: 784\r\nExpect: 100-continue\r\n\r\n")
        assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(DIGIT)
        assert connection.answer().digits == [7]
    with Connection(server) as connection:
        connection.send(OCTETS + b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
        assert connection.answer().status == 413


# -- several on one connection ----------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    wanted = [3, 1, 4, 1, 5, 9, 2, 6]
    requests = [OCTETS + b"Content-Length: 784\r\n\r\n" + digits(value).tobytes() for value in wanted]
    refused = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
    with Connection(server) as connection:
        connection.send(b"".join([*requests, refused, *requests]))
        answers = [connection.answer() for _ in range(2 * len(wanted) + 1)]
    assert answers[len(wanted)].status == 400
    del answers[len(wanted)]
    assert [value for answer in answers for value in answer.digits] == wanted * 2


def test_a_big_request_before_others_on_the_same_connection(server: Server) -> None:
    big = digits(*range(10)).tobytes() * 100
    small = OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT
    with Connection(server) as connection:
        connection.send(OCTETS + b"Content-Length: %d\r\n\r\n" % len(big) + big + small)
        assert connection.answer().digits == list(range(10)) * 100
        assert connection.answer().digits == [7]


def test_a_connection_stays_open_after_a_rejection(server: Server) -> None:
    for body in (b"hello", b"", bytes(100_000)):
        with Connection(server) as connection:
            connection.send(OCTETS + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.answer().status == 400
            connection.send(OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT)
            assert connection.answer().digits == [7]


def test_a_rejected_body_is_not_taken_for_the_next_request(strict_server: Server) -> None:
    """A body rejected by its Content-Length must not be parsed as HTTP when it arrives."""
    smuggled = OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT
    body = smuggled * (LIMIT // len(smuggled) + 2)
    with Connection(strict_server) as connection:
        connection.send(OCTETS + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.answer().status == 413
        try:
            connection.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert json.loads(connection.answer().body) == {"status": "live"}
        except ConnectionError:
            pass  # closing the connection is as good


def test_many_small_requests_at_once_over_many_connections(server: Server) -> None:
    wrong: list[Any] = []

    def ask(value: int) -> None:
        with Connection(server) as connection:
            for _ in range(20):
                connection.send(OCTETS + b"Content-Length: 784\r\n\r\n" + digits(value).tobytes())
                answer = connection.answer()
                if answer.digits != [value]:
                    wrong.append((value, answer))

    threads = [threading.Thread(target=ask, args=(i % 10,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


# -- not quite HTTP ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\nhello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"POST /predict\r\n\r\n",
        b"POST /predict HTTP/9.9\r\n\r\n",
        b"POST  HTTP/1.1\r\n\r\n",
        OCTETS + b"Content-Length: -1\r\n\r\n",
        OCTETS + b"Content-Length: abc\r\n\r\n",
        OCTETS + b"Content-Length: 1e3\r\n\r\n",
        OCTETS + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OCTETS + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OCTETS + b"Content-Length: 784\r\nContent-Length: 785\r\n\r\n",
        OCTETS + b"Content-Length: 784\r\nTransfer-Encoding: chunked\r\n\r\n",
        OCTETS + b"Transfer-Encoding: gzip\r\n\r\n",
        OCTETS + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        OCTETS + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        OCTETS + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        OCTETS + b"no colon here\r\n\r\n",
        OCTETS + b"X: a\x00b\r\n\r\n",
    ],
)
def test_what_is_not_http_is_rejected_and_harms_nobody(server: Server, request_bytes: bytes) -> None:
    with Connection(server) as connection:
        connection.send(request_bytes)
        connection.socket.shutdown(socket.SHUT_WR)
        answer = connection.rest()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))
    assert b"Traceback" not in answer
    still_answers(server)


@pytest.mark.parametrize("line", [b"X-Padding: " + b"x" * 8000 + b"\r\n", b"x" * 8000], ids=["many", "long"])
@pytest.mark.parametrize(
    "start",
    [
        OCTETS,
        OCTETS + b"X-Padding: ",
        OCTETS + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks([DIGIT], end=b"0\r\nX-Y: "),
    ],
    ids=["headers", "one header", "trailers"],
)
def test_headers_and_trailers_without_end_are_cut_off(server: Server, start: bytes, line: bytes) -> None:
    """16 MB of them, then a regular end: other requests were not delayed."""
    with Connection(server) as connection:
        answer = b""
        try:
            connection.send(start, *[line] * 2000, b"\r\nContent-Length: 784\r\n\r\n", DIGIT)
            answer = connection.socket.recv(4096)
        except ConnectionError:
            pass
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    still_answers(server)


def test_a_head_request_has_no_body(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(b"HEAD /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = connection.rest()
    assert answer.startswith(b"HTTP/1.1 405")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "headers", [{}, {"content-length": "abc"}, {"content-length": "9" * 5000}, {"content-length": "-1"}]
)
def test_another_servers_nonsense_is_no_500(app: Any, headers: dict[str, str]) -> None:
    """httptools checks Content-Length; other ASGI servers may not."""
    answer = call(app, body=[DIGIT], headers={"Content-Type": "application/octet-stream"} | headers)
    assert answer.status in (200, 400, 413)


# -- clients that leave -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_disconnects_are_not_errors(models_dir: Path, tmp_path: Path) -> None:
    """During the body, before the answer, and during a big request: nothing in the log, no row left in the queue."""
    with Server(models_dir, feedback_path=tmp_path / "feedback.sqlite") as server:
        big = bytes(784 * 20_000)
        for request in (
            OCTETS + b"Content-Length: 784\r\n\r\n",
            OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT[:100],
            OCTETS + b"Content-Length: 5000000\r\n\r\n" + bytes(300_000),
            OCTETS + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks([DIGIT], end=b""),
            OCTETS + b"Content-Length: 784\r\n\r\n" + DIGIT,
            OCTETS + b"Content-Length: %d\r\n\r\n" % len(big) + big,
            b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nnot json!",
        ):
            for _ in range(5):
                with Connection(server) as connection:
                    connection.send(request)
        still_answers(server)
        assert "digits_queue_rows 0.0" in server.client.get("/metrics").text.splitlines()
        code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_a_client_that_does_not_read_its_answer_holds_nobody_up(server: Server) -> None:
    body = as_json(digits(3).repeat(5000, axis=0).reshape(-1, 784))
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    with Connection(server, 4096) as deaf:
        deaf.send(head + body)
        still_answers(server)
        assert deaf.answer().digits == [3] * 5000
