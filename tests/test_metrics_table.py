"""The table of metrics in the documentation lists exactly the metrics that a running service exposes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.telemetry.metrics import EVENTS
from tests.support.documentation import ROOT, rows
from tests.support.models import card_for, classifier, digits, publish, publish_broken
from tests.support.server import PATIENCE_S, Server

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

OCTETS = {"Content-Type": "application/octet-stream"}
OF_EVERY_BUCKET = {"le"}

Families = dict[str, tuple[str, set[str]]]  # name -> type, labels
# counted when something fails, and without a sample until then
SELDOM: Families = {f"digits_{kind}_total": ("counter", {label} - {""}) for kind, (_, label) in EVENTS.items()}


def exposed(text: str) -> Families:
    """The families of the Prometheus text format that have a sample."""
    found: Families = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        ends = "(_bucket|_sum|_count)" if kind == "histogram" else ""
        samples = re.findall(rf"^{name}{ends}(\{{.*\}})? ", text, re.MULTILINE)
        if samples:
            labels = {label for sample in samples for label in re.findall(r'(\w+)="', "".join(sample))}
            found[name] = kind, labels - OF_EVERY_BUCKET
    return found


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a reference for drift and a candidate, and another whose promoted version must be refused."""
    root, data = tmp_path_factory.mktemp("metrics"), classifier()
    reference = RepositoryWriter(ROOT / "models").card("digits", 1)["reference"]
    repository = RepositoryWriter(root)
    repository.promote(
        "digits", repository.publish("digits", lambda _: data, card_for(data) | {"reference": reference})
    )
    publish(root, promote=False)
    publish(root, name="letters")
    return root


@pytest.fixture(scope="module")
def families(models: Path) -> Families:
    """The families of a service after predictions, feedback, a shadow and a rejected version."""
    with Server(models) as server:
        publish_broken(models, classifier()[:-100], "letters")
        RepositoryWriter(models).start_rollout("digits", RolloutPlan(2, shadow=True, min_digits=10**6))
        end, text, found = time.monotonic() + PATIENCE_S, "", Families()
        while not text or found.keys() != names(text):
            assert time.monotonic() < end, f"there never was a sample of {names(text) - found.keys()}"
            answer = server.client.post("/predict", content=digits(*range(10)).tobytes() * 60, headers=OCTETS)
            given = {"request_id": answer.headers["x-request-id"], "index": 0, "label": 1}
            assert server.client.post("/feedback", json=given).is_success
            text = server.client.get("/metrics").text
            found = SELDOM | exposed(text)
    return found


def test_the_table_has_every_metric_and_no_other(families: Families) -> None:
    assert rows(r"digits_\w+").keys() == families.keys()


def test_types_and_labels_are_those_of_the_service(families: Families) -> None:
    table = {name: (row[0], set(re.findall(r"`(\w+)`", row[1]))) for name, row in rows(r"digits_\w+").items()}
    assert table == families


def test_every_metric_has_a_meaning() -> None:
    for name, row in rows(r"digits_\w+").items():
        assert len(row) == 3, name
        assert row[2].endswith("."), name
