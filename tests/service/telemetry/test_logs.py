"""Log lines as text and as JSON; request lines are gathered, bounded, and written together."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from service.settings import Settings
from service.telemetry.logs import MAX_LINES, MAX_REFUSALS, AccessLog, JsonFormatter, flush
from tests.support.server import ROOT


def record(message: str, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "service", "levelno": 30, "levelname": "WARNING", "msg": message, **more})


def test_a_record_is_one_line_of_json() -> None:
    line = JsonFormatter().format(record("two %s\nlines", args=("é",)))
    assert "\n" not in line
    document = json.loads(line)
    assert (document["level"], document["logger"], document["message"]) == ("warning", "service", "two é\nlines")
    assert document["time"].endswith("+00:00")
    assert "trace" not in document


def test_the_trace_of_an_exception_is_in_the_line() -> None:
    try:
        raise RuntimeError("out of paper")
    except RuntimeError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "\n" not in line
    assert json.loads(line)["trace"].endswith("RuntimeError: out of paper")


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 400),
        ({"access_log": True}, 100),
        ({"log_level": "error"}, 500),
        ({"access_log": True, "log_level": "error"}, 500),
    ],
)
def test_which_requests_are_logged(settings: dict[str, object], status: int) -> None:
    assert AccessLog(Settings(**settings)).from_status == status  # type: ignore[arg-type]


def test_lines_are_written_together_and_once(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(Settings(log_format="json"))
    for number in range(3):
        log.add("POST", "/predict", 422, 0.0015, f"id-{number}")
    assert capfd.readouterr().err == ""
    log.write()
    flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines] == ["id-0", "id-1", "id-2"]
    assert {(line["method"], line["path"], line["status"], line["ms"]) for line in lines} == {
        ("POST", "/predict", 422, 1.5)
    }
    log.write()
    flush()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_path_cannot_forge_a_line(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(Settings(log_format=form))  # type: ignore[arg-type]
    log.add("GET", "/a\nb\x1b[31m\u2028", 404, 0.1, "id")
    log.write()
    flush()
    written = capfd.readouterr().err
    assert written.count("\n") == 1
    assert "\x1b" not in written


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("length", [200, 201, 60_000])
def test_a_long_path_makes_no_long_line(form: str, length: int, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(Settings(log_format=form))  # type: ignore[arg-type]
    path = "/" + "\u20ac" * (length - 1)
    log.add("GET", path, 404, 0.0, "id")
    log.write()
    flush()
    [line] = capfd.readouterr().err.splitlines()
    assert len(line) < 1500  # a character may be shown as six
    assert ("..." in line) is (length > 200)


@pytest.mark.parametrize(("access_log", "most"), [(True, MAX_LINES), (False, MAX_REFUSALS)])
def test_lines_beyond_the_limit_are_counted(access_log: bool, most: int, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(Settings(access_log=access_log))
    for _ in range(most + 7):
        log.add("GET", "/", 404, 0.1, "id")
    log.write()
    flush()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == most + 1
    assert lines[-1].startswith("7 more")
    log.add("GET", "/", 404, 0.1, "id")
    log.write()
    flush()
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_warning_of_a_library_shows_no_path(form: str) -> None:
    script = f"""
import warnings
from service.settings import Settings
from service.telemetry.logs import flush, set_up
set_up(Settings(log_format={form!r}))
warnings.warn("a picture is odd " + "x" * 1000, UserWarning)
flush()
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    [line] = ended.stderr.splitlines()
    assert "UserWarning: a picture is odd" in line
    assert len(line) < 400
    assert ".py" not in line
