"""The SQLite file may be moved, copied or deleted while it is in use: what was committed before stays with it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from service.feedback.file import FeedbackFile
from service.feedback.store import Correction, FeedbackStore


def picture(number: int) -> Correction:
    """The correction of a digit that no other number has."""
    return Correction(np.full((28, 28), number, np.uint8), number % 10)


def numbers(path: Path) -> list[int]:
    """Of the pictures in a file."""
    store = FeedbackStore(path)
    found = sorted(int(pixels[0, 0]) for pixels in store.digits()[0])
    store.close()
    return found


def intact(path: Path) -> bool:
    database = sqlite3.connect(path)
    found = database.execute("PRAGMA integrity_check").fetchone()
    database.close()
    return bool(found == ("ok",))


def test_it_is_durable_and_shared(tmp_path: Path) -> None:
    file = FeedbackFile(tmp_path / "f.sqlite")
    database = file.connected()
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert database is file.connected()
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["f.sqlite"]


def test_a_moved_file_is_complete_and_a_new_one_begins(tmp_path: Path) -> None:
    """Two writers have it open. Each gives up the moved file only when it writes again."""
    path, moved = tmp_path / "f.sqlite", tmp_path / "moved.sqlite"
    first, second = FeedbackStore(path), FeedbackStore(path)
    for number in range(10):
        (first if number % 2 else second).add(picture(number))
    assert (tmp_path / "f.sqlite-wal").stat().st_size > 0
    path.rename(moved)
    for number in range(10, 20):
        (first if number % 2 else second).add(picture(number))
    assert numbers(path) == list(range(10, 20))
    first.close()
    second.close()
    assert numbers(path) == list(range(10, 20))
    assert numbers(moved) == list(range(10))
    assert intact(path)
    assert intact(moved)


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    store.add(picture(1))
    (tmp_path / "f.sqlite").unlink()
    assert store.add(picture(1))
    assert numbers(tmp_path / "f.sqlite") == [1]
    store.close()


def test_a_folder_that_comes_back_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    store = FeedbackStore(folder / "f.sqlite")
    store.add(picture(1))
    folder.rename(tmp_path / "away")
    assert store.stats()["digits"] == 0
    (tmp_path / "away").rename(folder)
    store.add(picture(2))
    store.close()
    assert numbers(folder / "f.sqlite") == [1, 2]


def test_what_a_moved_file_left_behind_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    """As after a service that was killed: SQLite's log and its index lie there, and belong to another file."""
    path = tmp_path / "f.sqlite"
    store = FeedbackStore(path)
    for number in range(5):
        store.add(picture(number))
    for suffix in ("-wal", "-shm"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path}/kept{suffix}")
    store.close()
    path.unlink()
    for suffix in ("-wal", "-shm"):
        shutil.move(f"{tmp_path}/kept{suffix}", f"{path}{suffix}")
    later = FeedbackStore(path)
    assert later.add(picture(7))
    later.close()
    assert numbers(path) == [7]
    assert intact(path)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    store.add(picture(3))
    store.close()
    before = (tmp_path / "f.sqlite").read_bytes()
    assert FeedbackStore(tmp_path / "f.sqlite").stats()["digits"] == 1
    assert numbers(tmp_path / "f.sqlite") == [3]
    assert (tmp_path / "f.sqlite").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["f.sqlite"]
    with FeedbackFile(tmp_path / "f.sqlite").reading(1) as database:
        assert database
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM digits")
