"""What a process can no longer do once it is confined, tried in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import landlockpy
import pytest

from tests.support.server import ROOT

PROGRAM = """
import errno, json, os, resource, socket, sys, time
from service.engine.sandbox import confine
sys.modules["landlockpy"] = None if "without" in sys.argv else __import__("landlockpy")
folder = sys.argv[1]
found = {"landlock": confine(memory_bytes=2**28, cpu_s=1)}

def tried(name, action):
    try:
        action()
        found[name] = "possible"
    except MemoryError:
        found[name] = "ENOMEM"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]

tried("open a file", lambda: open(folder + "/file"))
tried("open a socket", socket.socket)
tried("truncate a file", lambda: os.truncate(folder + "/file", 0))
tried("remove a file", lambda: os.unlink(folder + "/other"))
tried("rename a file", lambda: os.rename(folder + "/file", folder + "/third"))
tried("make a folder", lambda: os.mkdir(folder + "/folder"))
tried("signal the parent", lambda: os.kill(os.getppid(), 0))
tried("allocate 1 GB", lambda: bytearray(2**30))
tried("allocate 64 MB", lambda: bytearray(2**26))
print(json.dumps(found), flush=True)
if "burn" in sys.argv:
    while True:
        pass
"""


def confined(folder: Path, *flags: str) -> tuple[int, dict[str, Any]]:
    (folder / "file").write_text("content")
    (folder / "other").write_text("content")
    command = [sys.executable, "-c", PROGRAM, str(folder), *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def test_resource_limits_alone(tmp_path: Path) -> None:
    code, found = confined(tmp_path, "without")
    assert code == 0
    assert not found["landlock"]
    assert found["open a file"] == found["open a socket"] == "EMFILE"
    assert found["allocate 1 GB"] == "ENOMEM"
    assert found["allocate 64 MB"] == "possible"


@pytest.mark.skipif(not landlockpy.supported(), reason="this kernel has no Landlock")
def test_landlock_too(tmp_path: Path) -> None:
    _, found = confined(tmp_path)
    assert found["landlock"]
    changes = ["truncate a file", "remove a file", "rename a file", "make a folder"]
    if landlockpy.abi_version() < 3:
        changes.remove("truncate a file")
    assert {found[change] for change in changes} == {"EACCES"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]
    assert (tmp_path / "file").read_text() == "content"
    if landlockpy.abi_version() >= 6:
        assert found["signal the parent"] == "EPERM"
    assert found["allocate 64 MB"] == "possible"


@pytest.mark.slow
def test_cpu_time_is_bounded(tmp_path: Path) -> None:
    code, _ = confined(tmp_path, "burn")
    assert code < 0  # ended by SIGXCPU, or by SIGKILL a second later
