"""docs/security-checklist.md: every requirement has its line, every line its test; the tests of some are here."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.models import digits
from tests.support.server import ROOT, Server
from tests.support.waiting import until

COUNTS = {"2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2}
COUNTS |= {"5.4": 3, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5}
COUNTS |= {"16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3}  # of levels 1 and 2
REQUIREMENTS = [f"{section}.{number}" for section, count in COUNTS.items() for number in range(1, count + 1)]
LINE = re.compile(r"^\| (\d+\.\d+\.\d+) [^|]+\| [12] \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
LINES = LINE.findall((ROOT / "docs/security-checklist.md").read_text())
OCTETS = {"content-type": "application/octet-stream"}


def test_every_requirement_has_one_line() -> None:
    assert sorted(number for number, _, _ in LINES) == sorted(REQUIREMENTS)


@pytest.mark.parametrize(("number", "met", "held"), LINES)
def test_every_line_has_a_test_or_says_why_not(number: str, met: str, held: str) -> None:
    if held.strip() == "-":
        assert re.match(r"not applicable: |\*operator\*: ", met.strip()), number
        return
    found = re.fullmatch(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", held.strip())
    assert found, held
    text = (ROOT / found[1]).read_text()
    assert found[2] is None or f"def {found[2]}(" in text
    assert "def test_" in text


@pytest.fixture(scope="module")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    with Server(models_dir, feedback_path=tmp_path_factory.mktemp("asvs") / "f.sqlite", access_log=True) as running:
        yield running


def test_text_names_its_charset(server: Server) -> None:
    pages = ["/", "/docs", "/static/app.js", "/static/style.css", "/static/docs/swagger-ui.css", "/metrics"]
    for path in pages:
        kind = server.client.get(path, headers={"accept": "text/html,*/*"}).headers["content-type"]
        assert kind.startswith("text/"), path
        assert "charset=utf-8" in kind, path
    for path in ("/model", "/models/digits"):
        assert "charset=utf-8" in server.client.get(path, headers={"accept": "text/plain"}).headers["content-type"]
    answer = server.client.post("/predict", content=digits(3).tobytes(), headers=OCTETS | {"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"


def test_no_folder_is_listed(server: Server) -> None:
    for path in ("/static", "/static/", "/static/docs", "/static/docs/", "/models/", "/static/%2e%2e%2f"):
        assert server.client.get(path).status_code == 404, path


def test_trace_is_not_supported(server: Server) -> None:
    for path in ("/", "/predict", "/docs", "/static/app.js", "/health/live"):
        answer = server.client.request("TRACE", path, headers={"x-secret": "echo me"})
        assert answer.status_code == 405
        assert "echo me" not in answer.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_times_are_in_utc(models_dir: Path, tmp_path: Path, form: str) -> None:
    settings = {"log_format": form, "access_log": True, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, environ={"TZ": "Asia/Kathmandu"}, **settings) as server:
        server.client.get("/model")
        until(lambda: any("/model" in line for line in server.lines()))
        line = next(line for line in server.lines() if "/model" in line)
    for each in (line, server.announced):
        stamp = json.loads(each)["time"] if form == "json" else each[:20].replace(" ", "T")
        assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()) < 100


def test_who_got_in_and_who_did_not_is_logged(models_dir: Path, tmp_path: Path) -> None:
    secret = "the key of a shop"
    keys = f"shop:predict:{hashlib.sha256(secret.encode()).hexdigest()}"
    settings = {"keys": keys, "access_log": True, "log_format": "json", "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server:
        for path, sent in (("/predict", secret), ("/predict", "wrong"), ("/feedback/stats", secret)):
            server.client.request(
                "POST" if path == "/predict" else "GET",
                path,
                content=digits(3).tobytes() if path == "/predict" else b"",
                headers=OCTETS | {"x-api-key": sent},
            )
        until(lambda: sum("request_id" in line for line in server.lines()) == 3)
        lines = [json.loads(line) for line in server.lines() if "request_id" in line]
    assert [(line["client"], line["status"]) for line in lines] == [
        ("127.0.0.1 (shop)", 200),
        ("127.0.0.1", 401),
        ("127.0.0.1 (shop)", 403),
    ]
