"""The feedback file: one row per digit with its first label, bounded, shared by processes; old files are upgraded."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.errors import Conflict, FeedbackFull, FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore
from service.feedback.table import TABLE
from tests.support.models import digit


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


def test_the_first_label_of_a_digit_stands_unless_another_may_replace_it(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    assert store.add(Correction(digit(3), 3, predicted=5, model="digits", version=1))
    assert not store.add(Correction(digit(3), 3))
    with pytest.raises(Conflict, match="stored as a 3"):
        store.add(Correction(digit(3), 8))
    assert store.stats()["by_label"][3] == 1
    assert not store.add(Correction(digit(3), 8, replaces=True))
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
    assert not store.add(Correction(digit(2), 7, replaces=True))
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


def test_before_any_feedback_there_is_no_file(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite", max_rows=7)
    assert store.stats() == {"digits": 0, "max_digits": 7, "corrected": 0, "by_label": [0] * 10}
    with pytest.raises(FeedbackUnavailable, match=r"no feedback file f\.sqlite"):
        store.digits()
    assert list(tmp_path.iterdir()) == []


# -- files of version 0.1.0 ---------------------------------------------------------------------------------------


def old_file(path: Path) -> Path:
    """Three rows, of which the column `predicted` is still called `said`."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(TABLE.replace("predicted", "said"))
        for label, said in ((1, 1), (2, 7), (3, None)):
            row = (bytes([label]) * 32, digit(label).tobytes(), label, said, "digits", 1, "2026-01-01", "2026-01-01")
            columns = "sha256, pixels, label, said, model, version, created, updated"
            database.execute(f"INSERT INTO digits ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    return path


def test_a_file_of_version_0_1_0_opens_and_keeps_its_rows(tmp_path: Path) -> None:
    store = FeedbackStore(old_file(tmp_path / "f.sqlite"))
    assert store.stats()["by_label"] == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert store.stats()["corrected"] == 1
    assert store.add(Correction(digit(4), 4, predicted=9))
    assert store.stats()["corrected"] == 2
    pixels, labels = store.digits()
    assert labels.tolist() == [1, 2, 3, 4]
    assert (pixels == np.stack([digit(value) for value in (1, 2, 3, 4)])).all()
    store.close()
    with sqlite3.connect(tmp_path / "f.sqlite") as database:
        rows = database.execute("SELECT label, predicted FROM digits ORDER BY label").fetchall()
    database.close()
    assert rows == [(1, 1), (2, 7), (3, None), (4, 9)]


UPGRADE = """
import sys
from pathlib import Path
import numpy as np
from service.feedback.store import Correction, FeedbackStore

who = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for path in sys.argv[2:]:
    store = FeedbackStore(Path(path))
    store.add(Correction(np.full((28, 28), who, np.uint8), who, predicted=0))
    store.close()
"""


def test_two_processes_open_the_same_old_files_at_once(tmp_path: Path) -> None:
    paths = [old_file(tmp_path / f"{number}.sqlite") for number in range(20)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, str(who), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in (8, 9)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [("", 0), ("", 0)]
    for path in paths:
        assert FeedbackStore(path).stats()["by_label"] == [0, 1, 1, 1, 0, 0, 0, 0, 1, 1]
        assert FeedbackStore(path).stats()["corrected"] == 3


def test_another_process_renames_the_column_between_our_opening_and_our_lock(tmp_path: Path) -> None:
    """SQLite calls the trace just before it runs a statement: there the other one comes first."""
    other, store = FeedbackStore(old_file(tmp_path / "f.sqlite")), FeedbackStore(tmp_path / "f.sqlite")
    began: list[str] = []

    def rename_first(statement: str) -> None:
        if statement.startswith("BEGIN") and not began:
            began.append(statement)
            other.add(Correction(digit(4), 4, predicted=5))

    store._file.connected().set_trace_callback(rename_first)
    assert store.add(Correction(digit(5), 5, predicted=6))
    assert began
    store.close()
    other.close()
    with sqlite3.connect(tmp_path / "f.sqlite") as database:
        found = database.execute("SELECT predicted FROM digits ORDER BY label").fetchall()
    database.close()
    assert found == [(1,), (7,), (None,), (5,), (6,)]
