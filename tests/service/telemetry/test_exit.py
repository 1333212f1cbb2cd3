"""The end of a process: once, with the first code, after its log lines."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

START = """
import atexit, signal, threading, time
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.exit import end_process
logs.set_up(Settings())
"""


def run(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_log_lines_are_written_and_pythons_own_end_is_left_out() -> None:
    code, written = run("""
atexit.register(print, "Python's own end", file=__import__("sys").stderr)
for number in range(1000):
    logs.logging.getLogger("service").info("line %d", number)
end_process(7)
""")
    assert code == 7
    assert written.count("line ") == 1000
    assert "own end" not in written


def test_of_many_threads_one_ends_it() -> None:
    """The others wait: two at once in coverage's exit handler, or in a library's, can crash."""
    code, _ = run("""
ends = []
import os
real, os._exit = os._exit, lambda code: (ends.append(code), time.sleep(0.5), real(code if len(ends) == 1 else 99))
for code in range(3, 30):
    threading.Thread(target=end_process, args=(code,)).start()
time.sleep(30)
""")
    assert code == 3


def test_a_signal_that_comes_meanwhile_ends_it_too() -> None:
    """Its handler runs in the thread that is ending the process already, and must not wait for itself."""
    code, _ = run("""
signal.signal(signal.SIGTERM, lambda *_: end_process(5))
threading.Thread(target=time.sleep, args=(300,)).start()
real = logs.WRITER.flush
logs.WRITER.flush = lambda seconds: (setattr(logs.WRITER, "flush", real), signal.raise_signal(signal.SIGTERM))
end_process(4)
""")
    assert code == 5
