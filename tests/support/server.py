"""The service as its users run it: a subprocess, a port that the system chose, HTTP over a socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
KEPT = re.compile("(PATH|HOME|LANG|COVERAGE_PROCESS_CONFIG|COVERAGE_PROCESS_START)$")
ADDRESS = re.compile(r" at (https?://\S+:(\d+))")


def command(*flags: str, program: Sequence[str] = ("service",)) -> list[str]:
    return [sys.executable, "-W", "error", "-m", *program, *flags]


def environment(**settings: Any) -> dict[str, str]:
    """The environment of a fresh shell, with these settings as DIGITS_*; `make coverage` measures servers too."""
    wanted = {name: value for name, value in os.environ.items() if KEPT.match(name)}
    return wanted | {f"DIGITS_{name.upper()}": str(value) for name, value in settings.items()}


def run_to_end(*flags: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the service in cases where it ends by itself: a wrong setting, a broken model, --help."""
    return subprocess.run(
        command(*flags), cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=PATIENCE_S
    )


class Server:
    """`with Server(models_dir) as server:` starts it and waits for its start-up line; leaving ends it.

    Args:
        models_dir: the model repository.
        flags: of the command line.
        environ: variables beside the settings.
        program: what to run in place of `python -m service`: a module and its arguments.
        verify: how the client verifies TLS.
        settings: as DIGITS_*.

    Attributes:
        announced: the start-up line.
        client: an httpx client of its address.
    """

    def __init__(
        self,
        models_dir: Path,
        *flags: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = ("service",),
        verify: Any = True,
        **settings: Any,
    ) -> None:
        self._program = program
        self._environ = dict(environ or {})
        self._flags = flags
        self._settings = {
            "models_dir": models_dir,
            "port": 0,
            "allowed_hosts": "*",  # raw requests here have any Host
            "feedback_path": models_dir / "feedback.sqlite",
        } | settings
        self._verify = verify
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        environ = environment(**self._settings) | self._environ
        arguments = command(*self._flags, program=self._program)
        self.process = subprocess.Popen(arguments, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
        try:
            self.announced = self._wait_for_address()
            address = ADDRESS.search(self.announced)
            assert address, self.announced
            self.url, self.port = address[1], int(address[2])
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_S, verify=self._verify)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self, with_signal: signal.Signals | None = signal.SIGTERM) -> tuple[int, str]:
        """Stop it with a signal (None: it has had one); return its exit code and its standard error."""
        self.client.close()
        if with_signal and self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
        self._reader.join(PATIENCE_S)
        assert self.process.stderr
        self.process.stderr.close()
        return self.process.returncode, "".join(self._lines)

    def lines(self) -> list[str]:
        """What it has written to standard error since it began to serve."""
        return list(self._lines)

    def socket(self, receive_buffer: int = 0) -> socket.socket:
        """A bare connection. Reading from it raises TimeoutError after PATIENCE_S."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(("127.0.0.1", self.port))
        except OSError:
            connection.close()
            raise
        return connection

    def _wait_for_address(self) -> str:
        assert self.process.stderr
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stderr:
                self._lines.append(line)
                if ADDRESS.search(line):
                    return line
        finally:
            watchdog.cancel()
        raise AssertionError(f"the service ended with {self.process.wait()}: {''.join(self._lines)}")

    def _read_on(self) -> None:
        assert self.process.stderr
        self._lines.extend(self.process.stderr)
