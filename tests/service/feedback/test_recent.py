"""Recent predictions: a ring buffer per worker, in which any worker finds what another one predicted; and a folder
without room, that is removed, or that has the ring of a worker that ended."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.feedback.recent import MAX_ROWS_PER_REQUEST, SLOT, RecentPredictions
from service.telemetry.retired import retire
from tests.support.models import digit, digits
from tests.support.server import PATIENCE_S, ROOT


@pytest.mark.parametrize("shared", [False, True])
def test_the_ring_keeps_the_last_answers(tmp_path: Path, shared: bool) -> None:
    recent = RecentPredictions(100, tmp_path if shared else None)
    pixels = np.arange(250, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    for i in range(250):
        recent.remember(b"id-%d" % i, "digits", 1 + i % 2, pixels[i : i + 1], np.full((1, 10), i, np.float32))
    assert recent.find(b"id-149", 0) is None
    answer = recent.find(b"id-200", 0)
    assert answer is not None
    assert (answer.version, answer.pixels[0, 0], answer.probabilities[3]) == (1, 200, 200)
    assert recent.find(b"id-200", 1) is None
    assert len(recent.window("digits", 1)[0]) == len(recent.window("digits", 2)[0]) == 50
    assert len(recent.window("letters", 1)[0]) == 0


def test_one_large_request_does_not_push_all_others_out() -> None:
    recent = RecentPredictions(100)
    recent.remember(b"first", "digits", 1, np.zeros((1, 28, 28), np.uint8), np.zeros((1, 10), np.float32))
    recent.remember(b"large", "digits", 1, np.zeros((5000, 28, 28), np.uint8), np.zeros((5000, 10), np.float32))
    assert recent.find(b"first", 0) is not None
    assert recent.find(b"large", 63) is not None
    assert recent.find(b"large", 64) is None


def test_a_prediction_comes_back_as_it_was() -> None:
    recent = RecentPredictions(10)
    probabilities = np.random.default_rng(0).random((2, 10), np.float32)
    recent.remember(b"a", "digits", 7, digits(3, 4), probabilities)
    for row, value in enumerate((3, 4)):
        found = recent.find(b"a", row)
        assert found
        assert (found.model, found.version) == ("digits", 7)
        assert (found.pixels == digit(value)).all()
        assert (found.probabilities == probabilities[row]).all()
    for row in (2, 2**32 - 1):
        assert recent.find(b"a", row) is None


def test_a_buffer_smaller_than_a_request_keeps_its_first_digits() -> None:
    recent = RecentPredictions(3)
    recent.remember(b"a", "digits", 1, digits(*range(10)), np.eye(10, dtype=np.float32))
    assert MAX_ROWS_PER_REQUEST > 3
    assert [recent.find(b"a", row) is not None for row in range(4)] == [True, True, True, False]


def test_another_process_finds_it_and_it_outlives_its_writer(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from service.feedback.recent import RecentPredictions\n"
        "recent = RecentPredictions(10, Path(sys.argv[1]))\n"
        "recent.remember(b'a', 'digits', 2, np.full((1, 28, 28), 9, np.uint8), np.ones((1, 10), np.float32))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=60)
    recent = RecentPredictions(10, tmp_path)
    recent.remember(b"b", "digits", 2, digits(3), np.zeros((1, 10), np.float32))
    found = recent.find(b"a", 0)
    assert found
    assert (found.pixels == 9).all()
    pixels, probabilities = recent.window("digits", 2)
    assert len(pixels) == len(probabilities) == 2


def test_a_file_of_another_size_is_passed_over(tmp_path: Path) -> None:
    """A worker may be creating it at this moment."""
    (tmp_path / "1-0.ring").write_bytes(bytes(SLOT.itemsize))
    recent = RecentPredictions(10, tmp_path)
    assert recent.find(b"a", 0) is None
    assert len(recent.window("digits", 1)[0]) == 0


# -- the folder ---------------------------------------------------------------------------------------------------

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
