"""Feedback: on disk before it is acknowledged, folded, bounded, and found by request id whichever worker answered."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.errors import FeedbackFull, FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore
from tests.support.models import digit, digits, publish
from tests.support.server import Server

OCTETS = {"content-type": "application/octet-stream"}


def test_a_digit_comes_back_as_it_was(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    for label, picture in enumerate(pixels):
        assert store.add(Correction(picture, label, predicted=9, model="digits", version=4))
    found, labels = FeedbackStore(tmp_path / "f.sqlite").digits()
    order = np.argsort(labels)
    assert (found[order] == pixels).all()
    assert labels[order].tolist() == [0, 1, 2]
    store.close()


def test_the_same_digit_twice_is_one_row_with_the_newest_label(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    assert store.add(Correction(digit(3), 3, predicted=5, model="digits", version=1))
    assert not store.add(Correction(digit(3), 8))
    assert store.stats() == {
        "digits": 1,
        "max_digits": 100_000,
        "corrected": 1,
        "by_label": [0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    }
    store.close()


def test_a_full_file_refuses_new_digits_and_still_folds_known_ones(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite", max_rows=2)
    for value in (1, 2):
        store.add(Correction(digit(value), value))
    with pytest.raises(FeedbackFull, match="2 digits"):
        store.add(Correction(digit(3), 3))
    assert not store.add(Correction(digit(2), 7))
    assert store.stats()["by_label"] == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    store.close()


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\x00" + bytes(10)])
def test_a_file_that_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.sqlite"
    path.write_bytes(content * 100)
    with pytest.raises(FeedbackUnavailable, match="cannot be used"):
        FeedbackStore(path).add(Correction(digit(3), 3))


def test_many_processes_write_and_nothing_is_lost(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from service.feedback.store import Correction, FeedbackStore\n"
        "store, who = FeedbackStore(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for i in range(50): store.add(Correction(np.full((28, 28), who * 50 + i, np.uint8), who))"
    )
    path = tmp_path / "f.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(who)]) for who in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert FeedbackStore(path).stats()["by_label"][:3] == [50, 50, 50]


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
        ({"digit": [0] * 784, "label": 10}, 422, "label"),
        ({"digit": [0] * 784, "label": "3"}, 422, "label"),
        ({"digit": [0] * 784, "label": True}, 422, "label"),
        ({"digit": [0] * 783, "label": 3}, 422, "783"),
        ({"digit": [0] * 784, "request_id": "both", "label": 3}, 422, "either"),
        ({"label": 3}, 422, "either"),
        ({"digit": [256] * 784, "label": 3}, 422, "256"),
    ],
)
def test_bad_feedback_is_refused(server: Server, feedback: dict[str, object], status: int, says: str) -> None:
    answer = server.client.post("/feedback", json=feedback)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
