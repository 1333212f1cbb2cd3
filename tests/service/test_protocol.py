"""Offers to upgrade are ignored, and the request that makes one is answered like any other."""

from __future__ import annotations

import pytest

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
