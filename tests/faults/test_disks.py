"""A full disk, or no file descriptor left, in each folder that is written; and clocks that jump."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document, get
from tests.faults.faults import Faults
from tests.faults.table import Row
from tests.support.models import digit, publish
from tests.support.server import Server
from tests.support.waiting import until

KEY = "open sesame, please"
ILL = {"ENOSPC": f"fail {errno.ENOSPC} create,write,mkdir,rename", "EMFILE": f"fail {errno.EMFILE} all"}


@pytest.mark.parametrize("kind", ILL)
@pytest.mark.parametrize("folder", ["models", "feedback", "run"])
def test_a_folder_that_cannot_be_written(
    shim: Path, tmp_path: Path, row: Callable[[str], Row], folder: str, kind: str
) -> None:
    """What needs it is refused with a sentence, everything else is answered; afterwards all is as before."""
    line = row(f"{kind} in the {folder} folder, 2 workers")
    for name in ("feedback", "run"):
        (tmp_path / name).mkdir()
    root = tmp_path / "models"
    publish(root)
    publish(root, shift=1, promote=False)
    faults = Faults(shim, tmp_path / "control", tmp_path / folder)
    settings = {"workers": 2, "admin_key": KEY, "run_dir": tmp_path / "run", "watch_interval_s": 0.1}
    path = tmp_path / "feedback/feedback.sqlite"
    with (
        Server(root, environ=faults.environ, feedback_path=path, **settings) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        until(lambda: len(document(server, "/models/digits")["workers"]) == 2)
        assert label(server, 1) == 201
        with faults.during(ILL[kind]):
            asking.more(100)
            for path_ in ("/health/live", "/health/ready", "/metrics", "/model"):
                assert get(server, path_)[0] == 200, path_
            if folder == "models":
                promote(server, 2, {"ENOSPC": {409}, "EMFILE": {503}}[kind])
            assert label(server, 2) in ({503, 507} if folder == "feedback" else {201})
        line.recovery_s.append(until(lambda: label(server, 3) in (200, 201)))
        promote(server, 2, {200})
        line.recovery_s.append(until(lambda: both(server, 2)))
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def both(server: Server, version: int) -> bool:
    found = [worker["version"] for worker in document(server, "/models/digits")["workers"]]
    return found == [version] * 2


def label(server: Server, value: int) -> int:
    return server.client.post("/feedback", json={"digit": digit(value).tolist(), "label": value}).status_code


def promote(server: Server, version: int, expected: set[int]) -> None:
    path = f"/models/digits/versions/{version}/promote"
    status, body = get(server, path, "POST", **{"X-Admin-Key": KEY})
    assert status in expected, body
    if status != 200:
        assert json.loads(body)["detail"].endswith(".")


@pytest.mark.parametrize("jump_s", [-3600, 3600, -(10**8)])
def test_a_clock_that_jumps(tmp_path: Path, faults: Faults, row: Callable[[str], Row], jump_s: int) -> None:
    """Living workers are counted, dead ones are not, and promotions go on."""
    line = row(f"clock set by {jump_s:+,} s, then a worker killed")
    root = tmp_path / "models"
    publish(root)
    publish(root, shift=1, promote=False)
    with (
        Server(root, environ=faults.environ, workers=2, watch_interval_s=0.1) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        until(lambda: both(server, 1))
        with faults.during(f"clock {jump_s}"):
            until(lambda: both(server, 1))
            failed, victim = len(asking.failed), document(server, "/models/digits")["workers"][0]["pid"]
            os.kill(victim, signal.SIGKILL)
            RepositoryWriter(root).promote("digits", 2)
            line.recovery_s.append(until(lambda: both(server, 2)))
            assert victim not in [worker["pid"] for worker in document(server, "/models/digits")["workers"]]
            line.lost = max(0, len(asking.failed) - failed - 4)
        line.times, line.answers = 1, asking.answers.total()
    line.wrong = len(asking.wrong)
    assert (line.lost, asking.wrong) == (0, [])
