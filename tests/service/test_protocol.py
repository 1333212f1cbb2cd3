"""What is no HTTP is refused in JSON; offers to upgrade are ignored, and their request is answered like any other."""

from __future__ import annotations

import json

import pytest

from service.protocol import MOST_HEAD_BYTES
from tests.service.models import digit
from tests.service.server import Server

HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n%b: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"
)


def packets(upgrade: bytes, body: bytes, cut: str) -> list[bytes]:
    head = HEAD % upgrade
    return {
        "one packet": [head + body],
        "two packets": [head, body],
        "three": [head[:40], head[40:] + body[:9], body[9:]],
    }[cut]


@pytest.mark.parametrize("cut", ["one packet", "two packets", "three"])
@pytest.mark.parametrize("upgrade", [b"Upgrade", b"upgrade"])
def test_a_request_that_offers_http_2_is_answered_in_http_1(server: Server, upgrade: bytes, cut: str) -> None:
    body = bytearray(digit(3).tobytes())
    body[100:118] = b"\r\nUpgrade: body\r\n\r\n"[:18]  # what stands in the body is nobody's header
    with server.socket() as connection, connection.makefile("rb") as stream:
        for _ in range(2):  # the connection goes on
            for packet in packets(upgrade, bytes(body), cut):
                connection.sendall(packet)
                assert server.client.get("/health/live").status_code == 200  # the packet has surely arrived
            assert stream.readline().startswith(b"HTTP/1.1 200")
            size = 0
            while (line := stream.readline()) != b"\r\n":
                size = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else size
            assert b'"digit":' in stream.read(size)


def answer(server: Server, *packets: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body of what is answered before the connection is closed."""
    with server.socket() as connection, connection.makefile("rb") as stream:
        for packet in packets:
            connection.sendall(packet)
            assert server.client.get("/health/live").status_code == 200  # the packet has surely arrived
        line, headers = stream.readline(), {}
        while (header := stream.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers["content-length"]))
        assert stream.read() == b""
    return line, headers, body


NO_HTTP = {
    "a length that is none": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    "a negative length": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
    "a chunk without a size": b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a length and chunks": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "a blank in a header's name": b"GET %b HTTP/1.1\r\nHo st: x\r\n\r\n",
}


@pytest.mark.parametrize("path", [b"/predict", b"/v2/models/digits/infer", b"/v1/models/digits:predict"])
@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_refused_in_json(server: Server, name: str, path: bytes) -> None:
    line, headers, body = answer(server, NO_HTTP[name] % path)
    assert line == b"HTTP/1.1 400 Bad Request\r\n"
    assert headers["connection"] == "close"
    check(headers, body, 400, in_protocol=path.startswith(b"/v"))


@pytest.mark.parametrize("request_line", [b"post /v2 HTTP/1.1", b"PRI * HTTP/2.0", b"hello", b"\x16\x03\x01"])
def test_what_is_no_request_line_is_refused_in_json(server: Server, request_line: bytes) -> None:
    line, headers, body = answer(server, request_line + b"\r\nHost: x\r\n\r\n")
    assert line == b"HTTP/1.1 400 Bad Request\r\n"
    check(headers, body, 400, in_protocol=headers["content-type"] == "application/json")


def test_a_head_that_is_too_long_is_refused_in_json(server: Server) -> None:
    lines = b"a: %b\r\n" % (b"x" * 1000) * (MOST_HEAD_BYTES // 2000)
    line, headers, body = answer(server, b"GET /v2 HTTP/1.1\r\nHost: x\r\n", lines, lines, lines)
    assert line == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    check(headers, body, 431, in_protocol=True)


def check(headers: dict[str, str], body: bytes, status: int, in_protocol: bool) -> None:
    document = json.loads(body)
    if in_protocol:
        assert headers["content-type"] == "application/json"
        assert list(document) == ["error"]
    else:
        assert headers["content-type"] == "application/problem+json"
        assert document["status"] == status
    assert document.get("error", document.get("detail")).endswith(".")
