"""One running server: started on one core, found ready, found to be ours, weighed, and ended with all its children."""

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

START_LIMIT, END_LIMIT = 120, 7
INTERRUPTIBLE = ("env", "--default-signal=INT")  # a shell's background jobs inherit an ignored SIGINT
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}


class Failed(Exception):
    """The server did not start, is not ours, or answered wrong; the message says which."""


def free_port() -> int:
    """A port that the system says is free on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process and its descendants, pinned to one core.

    Attributes:
        port: where it listens.
        family: its processes.
        started_in: seconds from starting the process to its first right answer, once `wait` has returned.
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
        """Ask until `answers` says it is right. Raises Failed where it never is, or where the port is not ours."""
        with httpx.Client(base_url=self.address, timeout=10, trust_env=False) as client:
            while time.perf_counter() - self._began < START_LIMIT:
                if self._process.poll() is not None:
                    raise Failed(f"ended while starting: {self.last_words()}")
                with contextlib.suppress(httpx.TransportError):
                    if answers(client):
                        self.started_in = time.perf_counter() - self._began
                        break
                time.sleep(0.01)
            else:
                raise Failed(f"gave no answer within {START_LIMIT} s: {self.last_words()}")
        if not self.family.listens_on(self.port):
            raise Failed(f"port {self.port} is answered by a process that we did not start")

    def last_words(self) -> str:
        """The last lines of its log, on one line."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-4:])[-600:] or "it wrote nothing"

    def end(self) -> None:
        """Interrupt it as Ctrl-C does, then ask it to end, then kill by id what is left; remove its scratch folder."""
        for wish in (signal.SIGINT, signal.SIGTERM):
            self._process.send_signal(wish)
            deadline = time.monotonic() + END_LIMIT
            while self.family.members() and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(0.1)
        self.family.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        shutil.rmtree(self._scratch, ignore_errors=True)
