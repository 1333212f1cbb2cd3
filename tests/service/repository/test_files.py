"""Atomic writes: a reader sees the old content or the new, and nothing temporary is left."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from service.repository.files import flush, listing, replace, write


def test_listing_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1")
    (tmp_path / "b").mkdir()
    assert sorted(listing(tmp_path)) == ["a", "b"]
    assert listing(tmp_path / "b") == []
    assert listing(tmp_path / "a") == []
    assert listing(tmp_path / "nowhere") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_listing_a_folder_that_must_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0)
    assert listing(tmp_path / "a") == []


@pytest.mark.parametrize("data", [b"", b"new", bytes(10_000_000)])
def test_replacing_leaves_nothing_else(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "current"
    for content in (b"old, and longer than what follows", data):
        replace(path, content)
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]


def test_a_replacement_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "current"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        replace(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]
    assert (path / "inside").exists()


def test_readers_see_the_old_content_or_the_new(tmp_path: Path) -> None:
    path, contents = tmp_path / "current", [b"a" * 100_000, b"b" * 200_000]
    replace(path, contents[0])
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        replace(path, contents[number % 2])
    done.set()
    reader.join()
    assert seen
    assert set(seen) <= set(contents)


def test_a_folder_that_is_not_there_cannot_be_flushed(tmp_path: Path) -> None:
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "nowhere")
