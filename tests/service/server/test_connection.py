"""The end of a connection: half-closed by its client, cut off for malformed bytes, or left unread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from pathlib import Path
from weakref import WeakSet

import pytest
import uvloop
from fastapi import FastAPI
from uvicorn.server import ServerState

from tests.service.server.test_protocol import ONE, listen
from tests.support.models import digits
from tests.support.server import Server

CHUNKED = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
COUNTED = re.compile(
    r'digits_request_duration_seconds_count\{method="([^"]*)",route="unmatched",status="(\d+)"\} (\S+)'
)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def talk(server: Server, *packets: bytes, half_close: bool = False) -> bytes:
    """All that is answered until the service ends the connection."""
    with server.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            connection.sendall(packet)
            if packet is not packets[-1]:
                assert server.client.get("/health/live").status_code == 200  # it has surely arrived
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 20):
                received += data
        return received


# -- targets that are no paths ----------------------------------------------------------------------------------------

TARGETS = [
    (b"CONNECT example.org:443", 405),
    (b"CONNECT /predict", 405),
    (b"GET http://example.org", 400),
    (b"GET http://example.org?x=1", 400),
    (b"POST http://example.org", 400),
    (b"GET http://example.org:99999/health/live", 400),
    (b"GET *", 400),
    (b"OPTIONS *", 405),
    (b"HEAD *", 400),
    (b"GET example.org:443", 400),
    (b"GET /\xff", 400),
]


@pytest.mark.parametrize(("line", "status"), TARGETS)
def test_a_target_without_a_path_is_refused_after_what_came_before(server: Server, line: bytes, status: int) -> None:
    request = line + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = talk(server, request)
    assert statuses(answer) == [status]
    if line.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")
    else:
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert document["status"] == status
        assert (b"\r\nallow: " in answer) == (status == 405)
    assert statuses(talk(server, LIVE + ONE + request + LIVE)) == [200, 200, status]


@pytest.mark.parametrize(
    "target", [b"http://example.org/predict", b"https://u@example.org:1/predict", b"/predict#part"]
)
def test_an_absolute_target_with_a_path_is_served(server: Server, target: bytes) -> None:
    assert statuses(talk(server, ONE.replace(b"/predict", target), half_close=True)) == [200]


@pytest.mark.slow
def test_every_rejection_is_counted_and_has_one_line_in_the_log(models_dir: Path, tmp_path: Path) -> None:
    long = b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [line + b" HTTP/1.1\r\nHost: x\r\n\r\n" for line, _ in TARGETS]
    requests += [b"GARBAGE\r\n\r\n", b"GET /v2 HTTP/1.1\r\n\r\n", long, CHUNKED % b"/predict" + b"zz\r\n"]
    with Server(models_dir, feedback_path=tmp_path / "feedback.sqlite") as server:
        for request in requests:
            assert len(statuses(talk(server, request))) == 1
        metrics = server.client.get("/metrics").text
        _, log = server.stop()
    counted = sum(float(count) for *_, count in COUNTED.findall(metrics))
    assert counted == len(requests) - 1
    assert 'route="/predict",status="400"} 1.0' in metrics  # the malformed body
    assert "Traceback" not in log
    lines = [line for line in log.splitlines() if re.search(r" 4\d\d ", line)]
    assert len(lines) == len(requests)
    assert max(map(len, lines)) < 400


# -- what a head must have --------------------------------------------------------------------------------------------

HEADS = [
    (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (b"GET /v2 HTTP/1.1\r\nHost:\r\n\r\n", 200),
    (b"GET /v2 HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    (b"GET /v2 HTTP/1.1\r\nHost: some_name.x:8000  \r\n\r\n", 200),
    (b"GET /v2 HTTP/1.0\r\n\r\n", 200),
    (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
]


@pytest.mark.parametrize(("head", "status"), HEADS)
def test_what_a_head_must_have(server: Server, head: bytes, status: int) -> None:
    answer = talk(server, head, half_close=True)
    assert statuses(answer) == [status]
    if status != 200:
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b'."}')


@pytest.mark.parametrize("path", [b"/predict", b"/predict?"])
def test_blanks_behind_a_headers_value_are_none_of_it(server: Server, path: bytes) -> None:
    blanks = ONE.replace(b"/predict", path).replace(b"Length: 784", b"Length: 784 \t ").replace(b"stream", b"stream  ")
    answer = talk(server, blanks.replace(b"Host: x", b"X-Request-ID: mine \r\nHost: x\t"), half_close=True)
    assert statuses(answer) == [200]
    assert b"x-request-id: mine\r\n" in answer


@pytest.mark.parametrize("path", [b"/predict", b"/predict?"])
@pytest.mark.parametrize("cut", [0, 5, 20])
def test_a_trailer_is_no_header(server: Server, path: bytes, cut: int) -> None:
    head, body = CHUNKED % path, b"310\r\n" + digits(7).tobytes() + b"\r\n0\r\n"
    trailers = b"X-Request-ID: mine\r\nAccept: text/csv\r\nContent-Encoding: br\r\nExpect: 100-continue\r\n\r\n"
    answer = talk(server, *filter(None, (head + body + trailers[:cut], trailers[cut:])), half_close=True)
    assert statuses(answer) == [200]
    assert b"mine" not in answer
    assert b'"digit":7' in answer


# -- malformed bytes, after requests that are none --------------------------------------------------------------------

MALFORMED = {
    "a method": (b"GARBAGE \0\r\n\r\n", 400),
    "a header": (b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a chunk": (CHUNKED % b"/predict" + b"zz\r\n", 400),
    "a second chunk": (CHUNKED % b"/predict?" + b"3\r\nabc\r\nzz\r\n", 400),
    "a chunk of a request that is refused without it": (CHUNKED % b"/nothing" + b"zz\r\n", 404),
    "a long head": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 66_000 + b"\r\n\r\n", 431),
}


@pytest.mark.parametrize("before", [[], [ONE], [LIVE], [ONE, LIVE, ONE.replace(b"/predict", b"/predict?"), ONE]])
@pytest.mark.parametrize("name", MALFORMED)
def test_what_came_before_malformed_bytes_is_answered_first(server: Server, name: str, before: list[bytes]) -> None:
    """And in the same way where each comes in a packet of its own."""
    data, status = MALFORMED[name]
    wanted = [200] * len(before) + [status]
    assert statuses(talk(server, b"".join([*before, data, LIVE]))) == wanted
    assert statuses(talk(server, *before, data + LIVE)) == wanted
    assert statuses(talk(server, *before, data[:-9], data[-9:])) == wanted


# -- half-closed connections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "wanted"),
    [
        (b"GET /health/ready HTTP/1.0\r\n\r\n", [200]),
        (LIVE, [200]),
        (ONE, [200]),
        (LIVE + ONE + ONE.replace(b"/predict", b"/predict?") + LIVE, [200] * 4),
        (ONE + LIVE[:-2], [200]),
        (LIVE + LIVE[:9], [200]),
        (LIVE + ONE[:-1], [200]),
        (LIVE + ONE + b"GARBAGE\r\n\r\n", [200, 200, 400]),
        (b"", []),
        (LIVE[:-2], []),
        (ONE[:-1], []),
    ],
)
def test_who_closes_one_direction_gets_answers_in_the_other(server: Server, requests: bytes, wanted: list[int]) -> None:
    assert statuses(talk(server, requests, half_close=True)) == wanted


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_big_request_is_answered_too(server: Server, version: bytes) -> None:
    """HTTP/1.1 may send an interim answer first, by which the service finds out whether anybody is left."""
    body = digits(*range(10)).tobytes() * 1000
    head = b"POST /predict HTTP/%b\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    answer = talk(server, head % (version, len(body)) + body, half_close=True)
    assert [status for status in statuses(answer) if status != 100] == [200]
    assert b"100 Continue" not in answer or version == b"1.1"
    assert answer.count(b'"digit"') == 10_000


@pytest.mark.slow
def test_who_never_reads_is_cut_off(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-closed or not, and whether or not the connection was to be closed after the answer."""
    monkeypatch.setattr("service.server.connection.UNREAD_TIMEOUT_S", 0.2)  # uvicorn wraps the application here
    body = bytes(784 * 20_000)
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\n%bContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    )
    state = ServerState()

    async def steps() -> None:
        listener, port = await listen(app, state, WeakSet(), quiet_s=1)
        listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # accepted sockets inherit it
        deaf = []
        for half_close, line in ((True, b""), (False, b""), (False, b"Connection: close\r\n")):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
            await asyncio.get_running_loop().sock_sendall(connection, head % (line, len(body)) + body)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            deaf.append(connection)
        async with asyncio.timeout(30):
            while state.total_requests < 3 or state.connections:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.05)
        for connection in deaf:
            connection.close()
        listener.close()

    uvloop.run(asyncio.wait_for(steps(), 60))
