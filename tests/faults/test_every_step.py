"""A fault at every single file operation of what writes: no half state is ever seen, and what was said is true."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.every_step import ACTIONS, LAST
from tests.faults.faults import Faults
from tests.faults.table import Row
from tests.support.models import digit, publish
from tests.support.server import ROOT, Server

KINDS = {
    "ENOSPC": f"fail {errno.ENOSPC}",
    "EIO": f"fail {errno.EIO}",
    "EMFILE": f"fail {errno.EMFILE}",
    "kill -9": "kill 0",
}
MOST = 30  # file operations that storing one digit takes at most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_no_half_state_is_seen(shim: Path, tmp_path: Path, row: Callable[[str], Row], action: str, kind: str) -> None:
    line = row(f"{kind} at every file operation of {action}")
    faults = Faults(shim, tmp_path / "control", tmp_path / "models")
    (tmp_path / "models").mkdir()
    command = [sys.executable, "-m", "tests.faults.every_step"]
    ended = subprocess.run(
        [*command, str(tmp_path / "models"), str(tmp_path / "control"), action, KINDS[kind]],
        cwd=ROOT,
        env=os.environ | faults.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    line.times, line.wrong = found["steps"], len(found["wrong"])
    assert found["wrong"] == []
    assert found["steps"] > LAST
    assert sum(count for end, count in found["ends"].items() if end != "0") > 3, "no fault ever came"


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO", "EMFILE"])
def test_a_stored_label_is_in_the_file(shim: Path, tmp_path: Path, row: Callable[[str], Row], kind: str) -> None:
    """Status 201 means that the digit is on disk, wherever the fault was."""
    line = row(f"{kind} at every file operation of POST /feedback")
    publish(tmp_path / "models")
    (tmp_path / "feedback").mkdir()
    faults = Faults(shim, tmp_path / "control", tmp_path / "feedback")
    path = tmp_path / "feedback/feedback.sqlite"
    stored, refused = 0, 0
    with Server(tmp_path / "models", environ=faults.environ, feedback_path=path) as server:
        for step in range(1, MOST):
            body = {"digit": digit(step % 10, 255 - step).tolist(), "label": step % 10}
            with faults.during(f"{KINDS[kind]} create,write,fsync,read,unlink {step}"):
                answer = server.client.post("/feedback", json=body)
            assert answer.status_code in (201, 503, 507), answer.text
            stored += answer.status_code == 201
            refused += answer.status_code != 201
            assert server.client.post("/predict", content=digit(3).tobytes(), headers=OCTETS).status_code == 200
        final = server.client.post("/feedback", json={"digit": digit(1).tolist(), "label": 1})
        assert final.status_code == 201, final.text
        server.stop()
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        rows = max(database.execute(f"select count(*) from {name}").fetchone()[0] for name in tables)
    line.times, line.answers, line.lost = MOST - 1, stored, max(0, stored + 1 - rows)
    assert rows >= stored + 1
    assert refused


OCTETS = {"Content-Type": "application/octet-stream"}
