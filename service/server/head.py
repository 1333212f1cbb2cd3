"""What a request's head must be, beyond its syntax, which the parser has checked: RFC 9112, sections 3.2, 6.1 and 7."""

from __future__ import annotations

import re

from httptools import HttpParserError, parse_url

from service.server.rejection import NOT_HTTP, Rejection

CHECKED = frozenset((b"host", b"connection", b"expect", b"transfer-encoding"))
HOST = re.compile(rb"(\[[\w:.%-]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?", re.ASCII)
ALLOWED = (("allow", "GET, HEAD, POST"),)

BAD_HOST = Rejection(400, "A request in HTTP/1.1 has exactly one Host header, such as Host: example.org:8000.")
WRONG_HOST = Rejection(
    421,
    "This service does not have the name in the Host header; DIGITS_ALLOWED_HOSTS lists the names that it answers to.",
)
BAD_TARGET = Rejection(
    400, "The target of the request has no path; send a path such as /predict, or http://host/predict."
)
NO_TUNNEL = Rejection(405, "CONNECT is not allowed here; this is no proxy. Use GET or POST.", ALLOWED)
NO_OPTIONS = Rejection(405, "OPTIONS is not allowed here; GET /docs lists all calls.", ALLOWED)
OTHER_CODING = Rejection(
    501, "Of transfer codings only chunked is read here; compress a body with Content-Encoding: gzip instead."
)


def refusal_of_codings(headers: list[tuple[bytes, bytes]]) -> Rejection:
    """Why a head with a transfer coding other than chunked is refused: its body has no end, or it is not read here."""
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    return OTHER_CODING if codings[-1].endswith(b"chunked") else NOT_HTTP


def head_bytes(target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """The size of a head, in however many packets it came."""
    return len(target) + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)


def valid_host(value: bytes) -> bool:
    """Whether a Host header is a name or address, with or without a port; empty is allowed."""
    return HOST.fullmatch(value) is not None


def check_target(method: bytes, target: bytes) -> None:
    """Refuse a target without a path. An absolute one with a path, as clients of proxies send it, is served.

    Raises:
        Rejected: with BAD_TARGET, NO_TUNNEL or NO_OPTIONS.
    """
    if method == b"CONNECT":
        raise NO_TUNNEL.error()
    if method == b"OPTIONS" and target == b"*":
        raise NO_OPTIONS.error()
    try:
        path = parse_url(target).path
    except HttpParserError:
        path = None
    if not path or not path.startswith(b"/"):
        raise BAD_TARGET.error()
