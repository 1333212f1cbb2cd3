"""A server process: started on one core, waited for until ready, and ended with all its descendants."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from benchmarks.harness.family import Family

START_LIMIT_S, END_LIMIT_S = 120, 7
INTERRUPTIBLE = (
    "env",
    "--default-signal=INT",
)  # a background job of a shell ignores SIGINT, and its children inherit that
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}


class Failed(Exception):
    """A server did not start, gave a wrong answer, or another process has its port; the message says which."""


def free_port() -> int:
    """A TCP port on loopback that is free now, chosen by the system."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process and its descendants, pinned to one core.

    Attributes:
        port: the TCP port it listens on.
        family: its processes.
        started_in: seconds from starting the process to its first right answer; 0 before `wait` returns.
    """

    def __init__(self, command: list[str], variables: Mapping[str, str], folder: Path, port: int, core: int) -> None:
        self.port = port
        self.started_in = 0.0
        self.family = Family()
        self._scratch = Path(tempfile.mkdtemp(prefix="bench-"))
        self._log = self._scratch / "log"
        environment = {
            **os.environ,
            **QUIET,
            "TMPDIR": str(self._scratch),
            "HOME": str(self._scratch),
            **variables,
            **self.family.mark,
        }
        with open(self._log, "wb") as log:
            self._began = time.perf_counter()
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *INTERRUPTIBLE, *command],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, answers: Callable[[httpx.Client], bool]) -> None:
        """Call `answers` until it returns True. Raises Failed where it never does, or where another process answers."""
        with httpx.Client(base_url=self.address, timeout=10, trust_env=False) as client:
            while time.perf_counter() - self._began < START_LIMIT_S:
                if self._process.poll() is not None:
                    raise Failed(f"it ended while starting: {self.log_tail()}")
                with contextlib.suppress(httpx.TransportError):
                    if answers(client):
                        self.started_in = time.perf_counter() - self._began
                        break
                time.sleep(0.01)
            else:
                raise Failed(f"it gave no right answer within {START_LIMIT_S} s: {self.log_tail()}")
        if not self.family.listens_on(self.port):
            raise Failed(f"port {self.port} belongs to a process that the benchmark did not start")

    def log_tail(self) -> str:
        """The last lines of its log, on one line."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-4:])[-600:] or "its log is empty"

    def end(self) -> None:
        """Send SIGINT, then SIGTERM, then kill what is left by process id; remove its temporary folder."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._process.send_signal(number)
            deadline = time.monotonic() + END_LIMIT_S
            while self.family.members() and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(0.1)
        self.family.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        shutil.rmtree(self._scratch, ignore_errors=True)
