"""POST /feedback: on disk before it is acknowledged; any worker finds the predictions of all by their request id."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.feedback.store import FeedbackStore
from tests.support.models import digit, digits, publish
from tests.support.refusals import check_problem
from tests.support.server import Server

OCTETS = {"content-type": "application/octet-stream"}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_with_a_killed_writer(tmp_path: Path) -> None:
    """The service is killed in the middle of a stream of feedback: what it said 201 to is in the file."""
    publish(tmp_path / "models")
    path = tmp_path / "f.sqlite"
    acknowledged: list[int] = []

    def give(server: Server) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for number in range(10_000):
                pixels = [number >> 8, number & 255, *[0] * 782]
                try:
                    answer = client.post("/feedback", json={"digit": pixels, "label": 1})
                except httpx.TransportError:
                    return
                assert answer.status_code == 201
                acknowledged.append(number)
                if number == 50:
                    half_way.set()

    half_way = threading.Event()
    with Server(tmp_path / "models", feedback_path=path) as server:
        giver = threading.Thread(target=give, args=[server])
        giver.start()
        assert half_way.wait(60)
        server.stop(signal.SIGKILL)
        giver.join()
    kept, _ = FeedbackStore(path).digits()
    numbers = {int(picture[0, 0]) * 256 + int(picture[0, 1]) for picture in kept}
    assert len(acknowledged) > 50
    assert set(acknowledged) <= numbers
    assert len(numbers) <= len(acknowledged) + 1
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_answer_is_found_by_its_request_id(tmp_path: Path, workers: int) -> None:
    publish(tmp_path / "models", shift=1)
    with Server(tmp_path / "models", workers=workers, feedback_path=tmp_path / "f.sqlite") as server:
        for value in range(6):  # over new connections, so that either worker answers either call
            answer = httpx.post(f"{server.url}/predict", content=digits(9, value).tobytes(), headers=OCTETS, timeout=60)
            given = {"request_id": answer.headers["x-request-id"], "index": 1, "label": value}
            kept = httpx.post(f"{server.url}/feedback", json=given, timeout=60)
            assert kept.status_code == 201, kept.text
            assert kept.json() == {
                "label": value,
                "predicted": (value + 1) % 10,
                "model": "digits",
                "version": 1,
                "new": True,
            }
        assert httpx.post(f"{server.url}/feedback", json=given, timeout=60).status_code == 200
        stats = httpx.get(f"{server.url}/feedback/stats", timeout=60).json()
    assert stats["digits"] == stats["corrected"] == 6
    pixels, labels = FeedbackStore(tmp_path / "f.sqlite").digits()
    assert all((picture == digit(label)).all() for picture, label in zip(pixels, labels, strict=True))


@pytest.mark.parametrize(
    ("feedback", "status", "says"),
    [
        ({"request_id": "never", "label": 3}, 404, "send the digit itself"),
        ({"request_id": "", "label": 3}, 422, "request_id"),
        ({"digit": [0] * 784, "label": 10}, 422, "label"),
        ({"digit": [0] * 784, "label": "3"}, 422, "label"),
        ({"digit": [0] * 784, "label": True}, 422, "label"),
        ({"digit": [0] * 783, "label": 3}, 422, "783"),
        ({"digit": [0] * 784, "request_id": "both", "label": 3}, 422, "either"),
        ({"label": 3}, 422, "either"),
        ({"digit": [256] * 784, "label": 3}, 422, "256"),
        ([], 422, "body"),
    ],
)
def test_bad_feedback_is_refused(server: Server, feedback: object, status: int, says: str) -> None:
    answer = server.client.post("/feedback", json=feedback)
    assert answer.status_code == status
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("name", ["row", "digits", "Label", "", "x" * 5000, "a\nb", "\ud800"])
def test_an_unknown_field_is_rejected_and_nothing_is_stored(server: Server, name: str) -> None:
    """A misspelt `index` must not put the label on digit 0."""
    predicted = server.client.post("/predict", content=digits(9, 4).tobytes(), headers=OCTETS)
    before = server.client.get("/feedback/stats").json()
    given = {"request_id": predicted.headers["x-request-id"], name: 1, "label": 1}
    answer = server.client.post("/feedback", content=json.dumps(given), headers={"content-type": "application/json"})
    shown = {"x" * 5000: "x" * 40, "a\nb": "a\\nb", "\ud800": "\\ud800"}.get(name, name)
    problem = check_problem(answer.status_code, answer.headers, answer.content, 422, shown or None)
    assert problem["detail"] == (
        f"There is no field '{shown}' in this request; the fields are label, request_id, index, digit."
    )
    assert server.client.get("/feedback/stats").json() == before


@pytest.mark.parametrize(
    ("digit", "field"),
    [([0] * 783, "digit"), ([300] + [0] * 783, "digit[0]"), ([[0] * 28] * 27 + [[0] * 27], "digit[27]")],
)
def test_a_bad_digit_is_named_as_it_was_sent(server: Server, digit: list[Any], field: str) -> None:
    answer = httpx.post(f"{server.url}/feedback", json={"digit": digit, "label": 1})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json()["detail"].startswith(field)


def test_the_first_label_stands_unless_an_admin_key_says_otherwise(models_dir: Path, tmp_path: Path) -> None:
    key = "k" * 32
    with Server(models_dir, feedback_path=tmp_path / "f.sqlite", admin_key=key) as server:
        server.client.post("/predict", content=digits(9, 4).tobytes(), headers=OCTETS | {"x-request-id": "mine"})
        statuses = []
        for label, headers in ((4, {}), (4, {}), (7, {}), (7, {"x-admin-key": "wrong" * 8}), (7, {"x-admin-key": key})):
            answer = server.client.post(
                "/feedback", json={"request_id": "mine", "index": 1, "label": label}, headers=headers
            )
            statuses.append(answer.status_code)
        assert statuses == [201, 200, 409, 409, 200]
        assert server.client.get("/feedback/stats").json()["by_label"] == [0] * 7 + [1, 0, 0]


def test_of_an_id_that_was_used_twice_the_newest_answer_counts(models_dir: Path, tmp_path: Path) -> None:
    with Server(models_dir, feedback_path=tmp_path / "f.sqlite") as server:
        for value in (5, 6, 7):
            server.client.post("/predict", content=digits(value).tobytes(), headers=OCTETS | {"x-request-id": "twice"})
        assert server.client.post("/feedback", json={"request_id": "twice", "label": 1}).json()["predicted"] == 7
