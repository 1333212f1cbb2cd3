"""Rings of recent predictions in a folder: without room, removed, left by a worker that ended."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.feedback.recent import SLOT, RecentPredictions
from service.telemetry.retired import retire
from tests.support.server import PATIENCE_S, ROOT

PIXELS = np.full((1, 28, 28), 7, np.uint8)
PROBABILITIES = np.eye(10, dtype=np.float32)[:1]


def remember(recent: RecentPredictions, request_id: bytes) -> None:
    recent.remember(request_id, "digits", 1, PIXELS, PROBABILITIES)


def test_a_ring_takes_all_its_room_when_it_is_created(tmp_path: Path) -> None:
    """A page that is allocated when it is first written to can fail then, and the process dies by SIGBUS."""
    RecentPredictions(4096, tmp_path)
    (ring,) = tmp_path.glob("*.ring")
    assert ring.stat().st_blocks * 512 >= 4096 * SLOT.itemsize


def test_without_room_answers_are_kept_in_memory_until_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "posix_fallocate", full)
        recent = RecentPredictions(10, tmp_path)
        recent.share()
    assert caplog.text.count("No space left") == 1
    assert list(tmp_path.iterdir()) == []
    remember(recent, b"before")
    other = RecentPredictions(10, tmp_path / "elsewhere")
    other._folder = tmp_path
    assert other.find(b"before", 0) is None
    recent.share()
    remember(recent, b"after")
    for request_id in (b"before", b"after"):
        assert recent.find(request_id, 0)
        assert other.find(request_id, 0)


def test_a_folder_that_is_removed_costs_no_answer(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recent = RecentPredictions(10, folder)
    remember(recent, b"before")
    shutil.rmtree(folder)
    assert recent.find(b"before", 0)
    assert len(recent.window("digits", 1)[0]) == 1
    recent.share()
    assert RecentPredictions(10, folder).find(b"before", 0)


def test_the_ring_of_a_worker_that_ended_is_taken_over_once(tmp_path: Path) -> None:
    dead = RecentPredictions(3, tmp_path)
    for number in range(4):
        remember(dead, b"%d" % number)
    retire(tmp_path, os.getpid(), "SIGKILL")
    new = RecentPredictions(3, tmp_path)
    assert len(list(tmp_path.glob("*.ring"))) == 1
    assert [bool(new.find(b"%d" % number, 0)) for number in range(4)] == [False, True, True, True]
    remember(new, b"4")
    assert [bool(new.find(b"%d" % number, 0)) for number in range(5)] == [False, False, True, True, True]
    RecentPredictions(3, tmp_path)
    assert len(list(tmp_path.glob("*.ring"))) == 2


FULL = """
import sys
from pathlib import Path
import numpy as np
from service.feedback.recent import RecentPredictions
folder = Path(sys.argv[1])
recent = RecentPredictions(4096, folder)
filler = open(folder / "filler", "wb", buffering=0)
try:
    while True:
        filler.write(bytes(65536))
except OSError as error:
    print(error.strerror)
late = RecentPredictions(4096, folder)
for ring in (recent, late):
    for number in range(4096):
        ring.remember(b"%d" % number, "digits", 1, np.zeros((1, 28, 28), np.uint8), np.zeros((1, 10), np.float32))
print(len(recent.window("digits", 1)[0]))
"""


def test_a_full_tmpfs_kills_nobody(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=6m tmpfs {tmp_path} && exec "{sys.executable}" -c "$0" {tmp_path}'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, FULL]
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no tmpfs can be mounted here")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split("\n") == ["No space left on device", "4096", ""]
