"""Each answered request is counted once, under a bounded set of labels, and logged as the settings say."""

from __future__ import annotations

from typing import Any

import pytest

from service.settings import Settings
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter, exposition
from service.telemetry.requests import CLIENT_CLOSED_REQUEST, RequestTelemetry


def noted(status: int = 200, method: str = "POST", **settings: Any) -> tuple[str, list[str]]:
    """The metrics text and the log lines after one request."""
    meter, access = Meter(), AccessLog(Settings(**settings))
    RequestTelemetry(meter, access).note(method, "/models/x", "/models/{name}", status, 0.25, b"mine")
    return exposition(meter.snapshot(), []).decode(), access._lines


def test_a_request_is_counted_under_its_route_and_not_its_path() -> None:
    text, _ = noted()
    labels = '{method="POST",route="/models/{name}",status="200"}'
    assert f"digits_request_duration_seconds_count{labels} 1.0" in text
    assert f"digits_request_duration_seconds_sum{labels} 0.25" in text
    assert "/models/x" not in text


@pytest.mark.parametrize(("method", "label"), [("GET", "GET"), ("gRPC", "gRPC"), ("BREW", "other"), ("get", "other")])
def test_callers_cannot_create_method_labels(method: str, label: str) -> None:
    assert f'method="{label}"' in noted(method=method)[0]


@pytest.mark.parametrize(
    ("settings", "logged"),
    [
        ({}, [404, CLIENT_CLOSED_REQUEST, 500]),
        ({"access_log": True}, [200, 404, CLIENT_CLOSED_REQUEST, 500]),
        ({"log_level": "error"}, [500]),
        ({"access_log": True, "log_level": "error"}, [500]),
    ],
)
def test_which_requests_are_logged(settings: dict[str, Any], logged: list[int]) -> None:
    lines = {status: noted(status, **settings)[1] for status in (200, 404, CLIENT_CLOSED_REQUEST, 500)}
    assert [status for status, found in lines.items() if found] == logged
    for status in logged:
        [line] = lines[status]
        assert line.endswith(f"POST /models/x {status} 250.0 ms mine")
