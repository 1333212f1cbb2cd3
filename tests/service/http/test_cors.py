"""What browsers are told: nosniff with every answer, what a page may do, and which other origins may read an answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.support.server import Server

FRIEND, STRANGER = "https://friend.example", "https://stranger.example"
DIGIT = {"instances": [[0] * 784]}
CALLS = [
    ("POST", "/predict", DIGIT),  # the fast path
    ("POST", "/predict?unused", DIGIT),  # ASGI
    ("POST", "/predict", {"instances": "seven"}),  # 422
    ("POST", "/v1/models/digits:predict", DIGIT),
    ("GET", "/v2/models/digits", None),
    ("GET", "/nothing", None),  # 404
    ("PUT", "/predict", None),  # 405
    ("GET", "/metrics", None),
]
PAGES = ["/", "/docs", "/static/index.html", "/static/docs.html", "/static/favicon.svg"]


@pytest.fixture(scope="module")
def open_server(models_dir: Path) -> Iterator[Server]:
    """One that lets another origin in."""
    with Server(models_dir, cors_origins=f"https://other.example:8443, {FRIEND}") as running:
        yield running


def asked(server: Server, method: str, path: str, body: object, origin: str | None) -> httpx.Response:
    headers = {"Origin": origin} if origin else {}
    return server.client.request(method, path, json=body, headers=headers)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_no_answer_is_taken_for_what_it_is_not(server: Server, method: str, path: str, body: object) -> None:
    assert asked(server, method, path, body, None).headers["x-content-type-options"] == "nosniff"


def test_nor_is_the_answer_to_bytes_that_are_no_request(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert b"\r\nx-content-type-options: nosniff\r\n" in connection.recv(4096)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_told_what_it_may_do(server: Server, path: str) -> None:
    headers = server.client.get(path, headers={"Accept": "text/html"}).headers
    policy = dict(rule.strip().partition(" ")[::2] for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_no_other_origin_reads_an_answer_by_default(server: Server, method: str, path: str, body: object) -> None:
    answer = asked(server, method, path, body, FRIEND)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_an_origin_that_is_named_reads_answers_and_errors(
    open_server: Server, method: str, path: str, body: object
) -> None:
    alone = asked(open_server, method, path, body, None)
    answer = asked(open_server, method, path, body, FRIEND)
    assert answer.status_code == alone.status_code
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "Origin" in answer.headers["vary"]
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    refused = asked(open_server, method, path, body, STRANGER)
    assert "access-control-allow-origin" not in refused.headers


def preflight(server: Server, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return server.client.options("/predict", headers=headers)


def test_preflights(server: Server, open_server: Server) -> None:
    answer = preflight(open_server, FRIEND)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["x-request-id"]
    assert "access-control-allow-origin" not in preflight(open_server, STRANGER).headers
    assert preflight(server, FRIEND).status_code == 405


def test_all_origins(models_dir: Path) -> None:
    with Server(models_dir, cors_origins="*") as server:
        assert asked(server, "POST", "/predict", DIGIT, STRANGER).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "text", ["", "*", "http://localhost:3000", "https://a.example,https://b.example:1", "http://[::1]:1"]
)
def test_origins_that_are_accepted(text: str) -> None:
    assert Settings(cors_origins=text).cors_origins == text


@pytest.mark.parametrize(
    "text", ["example.org", "https://example.org/", "https://Example.org", "https://a b", "null", "https://a,", " "]
)
def test_slips_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(cors_origins=text)
