"""Alerts, dashboard and Prometheus' configuration speak of metrics, files and services that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from tests.deploy.files import DEPLOY, ROOT, compose
from tests.support.asgi import call
from tests.support.models import digit

FOLDER = DEPLOY / "monitoring"
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "grafana/dashboards/digits.json").read_text())
NAME = re.compile(r"\bdigits_[a-z_]+")
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here")


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in ALERTS)]


def exposed(app: FastAPI) -> set[str]:
    """Every name that Prometheus would know, from the answer itself; families without a sample by their TYPE line."""
    call(app, "POST", "/predict", digit(3).tobytes(), {"Content-Type": "application/octet-stream"})
    text = call(app, "GET", "/metrics").body.decode()
    samples = set(re.findall(r"^(digits_\w+)", text, re.M))
    families = re.findall(r"^# TYPE (digits_\w+) (\w+)", text, re.M)
    return samples | {name for name, kind in families if kind in ("gauge", "counter")}


def test_metrics_that_are_asked_for_exist(app: FastAPI) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 8
    assert asked <= exposed(app)


def test_labels_that_are_asked_for_exist(app: FastAPI) -> None:
    text = call(app, "GET", "/metrics").body.decode()
    labels = {label for part in re.findall(r"\{(.*?)\}", text) for label in re.findall(r'(\w+)="', part)}
    labels |= {
        "instance",
        "job",
        "le",
        "statistic",
        "model",
        "version",
    }  # Prometheus' own, and of families without a sample
    for expression in expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= labels, expression


def test_every_alert_says_what_to_do() -> None:
    assert len(ALERTS) >= 2
    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_alert_is_tried_out() -> None:
    tried = yaml.safe_load((Path(__file__).parent / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tried for one in test["alert_rule_test"] if one["exp_alerts"]}
    quiet = {one["alertname"] for test in tried for one in test["alert_rule_test"] if not one["exp_alerts"]}
    assert fired == quiet == {rule["alert"] for rule in ALERTS}


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "deploy/monitoring/prometheus.yml"],
        ["check", "rules", "deploy/monitoring/alerts.yml"],
        ["test", "rules", "tests/deploy/alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: list[str]) -> None:
    done = subprocess.run(["promtool", *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_looks_where_compose_serves() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert job["job_name"] == "digits", "alerts ask for it"
    assert (
        {"service", "replica", "service-gpu"} == set(found["names"]) - {"tasks.service"} <= compose()["services"].keys()
    )
    assert found["port"] == 8000


def test_the_dashboard_is_whole() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    cells = set()
    for panel in panels:
        assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        here = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not here & cells, f"{panel['title']} lies on another panel"
        assert max(x for x, _ in here) < 24
        cells |= here


def test_grafana_finds_it_where_compose_mounts_it() -> None:
    (provider,) = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/digits.yml").read_text())["providers"]
    grafana = compose()["services"]["grafana"]
    assert any(volume.endswith(f":{provider['options']['path']}:ro") for volume in grafana["volumes"][:2])
    assert (
        grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        == f"{provider['options']['path']}/digits.json"
    )
