"""The profile `monitoring`: Prometheus finds the service; all expressions of alerts and dashboard mean something."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.compose.engine import Project, call, until
from tests.compose.stream import stream


def ask(port: int, path: str) -> Any:
    """Prometheus' answer, if it gives one yet."""
    try:
        status, body = call(port, "GET", path)
    except OSError:
        return None
    return json.loads(body)["data"] if status == 200 else None


def test_prometheus_sees_what_the_dashboard_shows(project: Project, prometheus_image: str) -> None:
    project.up("service", "prometheus", profile="monitoring")
    port = project.port("PROMETHEUS_")
    with stream(project.port()) as asking:
        until(lambda: asking.answers > 50)

        def result(expression: str) -> Any:
            return (ask(port, f"/api/v1/query?query={quote(expression)}") or {}).get("result")

        until(lambda: result('up{job="digits"} == 1'), 60, 0.5)
        until(lambda: result("rate(digits_request_duration_seconds_count[1m]) > 0"), 60, 0.5)
        dashboard = json.loads((project.folder / "deploy/monitoring/grafana/dashboards/digits.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                found = result(target["expr"])
                assert found is not None, f"{panel['title']}: {target['expr']} is no query"
                assert found or panel["title"].startswith("Trial"), f"{panel['title']} shows nothing"
    rules = ask(port, "/api/v1/rules")["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} >= {"DigitsDown", "DigitsFailing"}
    assert [rule["name"] for rule in rules if rule["health"] != "ok" or rule["state"] == "firing"] == []


def test_an_alert_fires_when_the_service_is_gone(project: Project, prometheus_image: str) -> None:
    project.up("service", "prometheus", profile="monitoring")
    port = project.port("PROMETHEUS_")

    def states() -> set[str]:
        groups = (ask(port, "/api/v1/rules") or {"groups": []})["groups"]
        return {rule["state"] for group in groups for rule in group["rules"] if rule["name"] == "DigitsDown"}

    until(lambda: states() == {"inactive"}, 60, 0.5)
    project.compose("stop", "service")
    until(lambda: states() == {"firing"}, 120, 0.5)
