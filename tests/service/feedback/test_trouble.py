"""Each trouble of the feedback file has its sentence, loses no acknowledged row, and is over when its cause is gone.

The limits of a process cannot be taken back without risk, so a child process runs into them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import FeedbackUnavailable
from service.feedback.store import FeedbackStore
from service.feedback.trouble import DAMAGED, reason
from tests.service.feedback.test_file import intact, numbers, picture

CHILD = """
import json, os, resource, sys
from pathlib import Path
import numpy as np
from service.errors import FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore

store = FeedbackStore(Path(sys.argv[1]))
stored, refused = [], []

def give(numbers):
    for number in numbers:
        try:
            store.add(Correction(np.full((28, 28), number, np.uint8), number % 10))
            stored.append(number)
        except FeedbackUnavailable as error:
            refused.append([number, str(error)])
"""
END = "print(json.dumps([stored, refused]))"

Refused = list[tuple[int, str]]


def child(path: Path, script: str) -> tuple[list[int], Refused]:
    """The numbers of the pictures that were stored, and those that were refused with the reasons."""
    code = f"{CHILD}\n{script}\n{END}"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120, check=True)
    stored, refused = json.loads(done.stdout)
    return stored, [(number, sentence) for number, sentence in refused]


def check(path: Path, stored: list[int], refused: Refused) -> None:
    """All that was acknowledged is in the file, and of the rest only what the sentence leaves in doubt."""
    assert set(stored) <= set(numbers(path))
    in_doubt = {number for number, sentence in refused if "may be stored" in sentence}
    assert set(numbers(path)) <= set(stored) | in_doubt
    assert intact(path)


# -- of the place -------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(FeedbackUnavailable) as refused, closing(FeedbackStore(path)) as store:
        store.add(picture(1))
    assert str(path.parent) not in str(refused.value), "callers must not learn our paths"
    assert str(refused.value).startswith("The feedback file cannot be used: ")
    assert str(refused.value).endswith(". Nothing was stored; try again later.")
    return str(refused.value)


def test_no_folder(tmp_path: Path) -> None:
    assert "its folder does not exist; create it, or mount the volume" in refusal(tmp_path / "missing" / "f.sqlite")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    assert "it is a folder; DIGITS_FEEDBACK_PATH must be a file" in refusal(tmp_path)


def test_a_file_in_the_place_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "its folder does not exist" in refusal(tmp_path / "file" / "f.sqlite")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("CREATE TABLE digits (a, b)", "it is a database of something else"),
        ("CREATE TABLE digits (sha256 PRIMARY KEY, label)", "it is a database of something else"),
    ],
)
def test_a_database_of_something_else(tmp_path: Path, table: str, says: str) -> None:
    with closing(sqlite3.connect(tmp_path / "f.sqlite")) as database:
        database.execute(table)
    assert says in refusal(tmp_path / "f.sqlite")


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + bytes(5000)])
def test_a_damaged_file_that_is_moved_away(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.sqlite"
    path.write_bytes(content)
    with closing(FeedbackStore(path)) as store:
        for call in (lambda: store.add(picture(1)), store.stats, store.digits):
            with pytest.raises(FeedbackUnavailable, match="it is damaged, or no SQLite file"):
                call()  # type: ignore[no-untyped-call]
        assert path.read_bytes() == content
        path.rename(tmp_path / "damaged")
        assert store.add(picture(1))
    assert numbers(path) == [1]


def test_pages_damaged_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    with closing(FeedbackStore(path)) as store:
        for number in range(50):
            store.add(picture(number))
        store.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(8 * 4096))
        with pytest.raises(FeedbackUnavailable, match="it is damaged"):
            store.stats()


def test_an_error_that_nothing_explains_is_quoted(tmp_path: Path) -> None:
    assert reason(OSError(5, "Input/output error"), tmp_path / "f") == "its disk reports an error (Input/output error)"
    assert reason(sqlite3.DatabaseError("who knows"), tmp_path / "f") == "its disk reports an error (who knows)"
    error = sqlite3.DatabaseError("x")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_VTAB  # type: ignore[attr-defined]
    assert reason(error, tmp_path / "f") == DAMAGED


# -- of permissions: not for the superuser, who may do everything ---------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may reach, too."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


AS_NOBODY = """
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
"""


@pytest.mark.parametrize(
    ("close", "says"),
    [
        (lambda path: path.parent.chmod(0o555), "its folder is read-only"),
        (lambda path: path.chmod(0o444), "the service may not read and write it"),
    ],
    ids=["folder", "file"],
)
def test_what_may_not_be_written(open_folder: Path, close: Callable[[Path], None], says: str) -> None:
    path = open_folder / "f.sqlite"
    with closing(FeedbackStore(path)) as store:
        store.add(picture(1))
    close(path)
    stored, refused = child(path, f"{AS_NOBODY}\ngive([2])")
    open_folder.chmod(0o777)
    path.chmod(0o666)
    assert not stored
    assert says in refused[0][1]
    assert "Nothing was stored" in refused[0][1]
    assert numbers(path) == [1]


def test_a_read_only_folder_that_becomes_writable(open_folder: Path) -> None:
    script = """
give([1])
store.close()
Path(sys.argv[1]).parent.chmod(0o555)
give([2])
Path(sys.argv[1]).parent.chmod(0o777)
give([3])
"""
    inner = open_folder / "inner"
    inner.mkdir()
    if os.getuid() == 0:
        os.chown(inner, 65534, 65534)
    stored, refused = child(inner / "f.sqlite", AS_NOBODY + script)
    assert stored == [1, 3]
    assert [number for number, _ in refused] == [2]
    assert "its folder is read-only" in refused[0][1]


# -- of limits ----------------------------------------------------------------------------------------------------


def test_no_more_file_descriptors(tmp_path: Path) -> None:
    """At each number of them that are left: SQLite needs a few for one transaction."""
    script = """
held = []
for free in range(6):
    store.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(held.pop())
    give([free])
    while held:
        os.close(held.pop())
    give([100 + free])
store.close()
"""
    stored, refused = child(tmp_path / "f.sqlite", script)
    assert set(range(100, 106)) <= set(stored)
    assert 0 not in stored
    assert 5 in stored, "or the limit was never reached from the other side"
    assert all("too many open files" in sentence for _, sentence in refused), refused
    check(tmp_path / "f.sqlite", stored, refused)


def test_a_write_that_fails_at_every_place(tmp_path: Path) -> None:
    """No file may grow over a limit, which goes up in steps of less than a page: so each write fails in its turn.

    Between two steps the trouble is over: the same store writes again.
    """
    script = """
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for step in range(100):
    resource.setrlimit(resource.RLIMIT_FSIZE, (step * 1000, hard))
    give([step])
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if step % 10 == 9:
        give([100 + step // 10])
    if step % 4 == 3:
        store.close()
store.close()
"""
    stored, refused = child(tmp_path / "f.sqlite", script)
    assert set(range(100, 110)) <= set(stored)
    assert len(refused) > 10
    assert len(stored) > 30
    assert all("its disk " in sentence for _, sentence in refused)
    check(tmp_path / "f.sqlite", stored, refused)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: a full disk, because a small one cannot be mounted here: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    path, filler = small_disk / "f.sqlite", small_disk / "filler"
    stored, refused = [], []
    with closing(FeedbackStore(path)) as store:
        for number in range(200):
            try:
                store.add(picture(number))
                stored.append(number)
            except FeedbackUnavailable as error:
                refused.append((number, str(error)))
                filler.unlink(missing_ok=True)  # somebody makes room, and takes it again
            if number % 20 == 0:
                with filler.open("wb", buffering=0) as file:
                    while True:
                        try:
                            file.write(bytes(4096))
                        except OSError:
                            break
    assert len(stored) > 20
    assert refused
    assert all("its disk is full; make room" in sentence for _, sentence in refused), refused
    filler.unlink(missing_ok=True)
    check(path, stored, refused)
