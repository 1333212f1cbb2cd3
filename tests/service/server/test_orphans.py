"""Ended processes that nobody waits for, as the first process of a container inherits them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import PATIENCE_S, ROOT

INHERIT = """
import ctypes, os, subprocess, sys, time
from service.server.orphans import Orphans
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
mother = subprocess.Popen([sys.executable, "-c", "import subprocess; print(subprocess.Popen(['sleep', '0']).pid)"],
                          stdout=subprocess.PIPE, text=True)
orphan = int(mother.communicate()[0])
own = subprocess.Popen(["true"])
orphans = Orphans()
end = time.monotonic() + 30
while os.path.exists(f"/proc/{orphan}"):
    assert time.monotonic() < end, "it stays"
    orphans.reap()
    own.poll()
    time.sleep(0.05)
print("gone", own.wait())
orphans.reap()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at processes as Linux shows them")
def test_an_orphan_is_waited_for_and_our_own_children_are_left_to_us() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INHERIT], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ended.stdout == "gone 0\n", ended.stderr
