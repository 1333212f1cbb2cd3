"""Foreign names and foreign pages: which Host headers are answered, and which pages may make a browser call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.access.hosts import Hosts
from service.settings import Settings
from tests.support.models import digits
from tests.support.refusals import check_problem
from tests.support.server import Server

OCTETS = {"content-type": "application/octet-stream"}
CALLS = [
    "/predict",
    "/feedback",
    "/models/digits/rollback",
    "/v2/repository/models/digits/unload",
    "/v1/models/digits:predict",
]


@pytest.fixture(scope="module")
def local(models_dir: Path) -> Iterator[Server]:
    """A server with the default names, bound to loopback."""
    with Server(models_dir, allowed_hosts="") as running:
        yield running


@pytest.mark.parametrize(
    ("allowed", "bound", "host", "is_allowed"),
    [
        ("", "127.0.0.1", b"127.0.0.1:8000", True),
        ("", "127.0.0.1", b"LOCALHOST.", True),
        ("", "127.0.0.1", b"digits.localhost:80", True),
        ("", "127.0.0.1", b"[::1]:8000", True),
        ("", "127.0.0.1", b"evil.example", False),
        ("", "127.0.0.1", b"localhost.evil.example", False),
        ("", "127.0.0.1", b"127.0.0.1.evil.example", False),
        ("", "127.0.0.1", b"", False),
        ("", "127.0.0.2", b"127.0.0.2", True),
        ("", "::1", b"[::1]", True),
        ("", "localhost", b"evil.example", False),
        ("", "0.0.0.0", b"any.example", True),
        ("", "::", b"any.example", True),
        ("*", "127.0.0.1", b"any.example", True),
        ("a.example, *.b.example", "0.0.0.0", b"A.example:8000", True),
        ("a.example, *.b.example", "0.0.0.0", b"x.b.example", True),
        ("a.example, *.b.example", "0.0.0.0", b"b.example", False),
        ("a.example, *.b.example", "0.0.0.0", b"xb.example", False),
        ("a.example, *.b.example", "0.0.0.0", b"localhost", False),
        ("[2001:db8::1]", "::", b"[2001:db8::1]:8000", True),
    ],
)
def test_which_names_are_allowed(allowed: str, bound: str, host: bytes, is_allowed: bool) -> None:
    assert Hosts(Settings(host=bound, allowed_hosts=allowed)).allow(host) is is_allowed


@pytest.mark.parametrize("path", ["/", "/predict", "/model", "/metrics", "/docs"])
def test_a_foreign_name_reaches_nothing(local: Server, path: str) -> None:
    answer = local.client.request(
        "POST" if path == "/predict" else "GET", path, headers={"host": "evil.example", **OCTETS}, content=bytes(784)
    )
    problem = check_problem(answer.status_code, answer.headers, answer.content, 421)
    assert "DIGITS_ALLOWED_HOSTS" in problem["detail"]


def test_an_own_name_first_and_a_foreign_one_then(local: Server) -> None:
    one = b"POST /predict HTTP/1.1\r\nHost: %b\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"
    with local.socket() as connection:
        for host in (b"localhost", b"localhost", b"evil.example"):
            connection.sendall(one % host + bytes(784))
        received = b""
        while data := connection.recv(2**16):
            received += data
    assert [received.count(b"HTTP/1.1 %d" % status) for status in (200, 421)] == [2, 1]


def test_health_is_asked_by_any_name(local: Server) -> None:
    for path in ("/health/live", "/health/ready", "/v2/health/ready"):
        assert local.client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


CODED = b"POST %b HTTP/1.1\r\n%b\r\n%b\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "coding", "status"),
    [
        (b"/predict", b"chunked", 421),
        (b"/predict", b"gzip, chunked", 501),
        (b"/health/live", b"chunked", 405),
        (b"/health/live", b"gzip, chunked", 501),
    ],
)
def test_a_foreign_name_changes_no_other_rule(local: Server, path: bytes, coding: bytes, status: int) -> None:
    """In whatever order the headers come: a name that is let pass lets nothing else pass, and hides no other fault."""
    lines = [b"Host: evil.example", b"Transfer-Encoding: " + coding]
    for order in (lines, lines[::-1]):
        with local.socket() as connection:
            connection.sendall(CODED % (path, *order))
            assert connection.recv(2**16).startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize("text", ["http://a.example", "a.example:80", "a b", ",", "*.", "ä"])
def test_what_is_no_name_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Settings(allowed_hosts=text)


# -- pages ------------------------------------------------------------------------------------------------------------

FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost"},  # another port is another origin
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "https://other.example.org"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", CALLS)
def test_a_call_of_a_foreign_page_is_refused(server: Server, path: str, headers: dict[str, str]) -> None:
    answer = server.client.post(path, content=bytes(784), headers={"content-type": "text/plain", **headers})
    assert answer.status_code == 403
    assert "DIGITS_CORS_ORIGINS" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "https://a.example"},
    ],
)
def test_the_own_page_and_programs_may_call(server: Server, headers: dict[str, str]) -> None:
    for more in (headers, headers or {"origin": server.url}):
        answer = server.client.post("/predict", content=digits(3).tobytes(), headers=OCTETS | more)
        assert answer.json()["predictions"][0]["digit"] == 3


def test_origins_that_are_allowed(models_dir: Path) -> None:
    page = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    with Server(models_dir, cors_origins="https://app.example") as server:
        answer = server.client.post("/predict", content=digits(3).tobytes(), headers=OCTETS | page)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        page["origin"] = "https://evil.example"
        assert server.client.post("/predict", content=digits(3).tobytes(), headers=OCTETS | page).status_code == 403
