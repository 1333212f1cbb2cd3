"""Several worker processes: uvicorn's supervisor, which restarts those that die, and what workers and parent share.

uvicorn's own supervisor passes the first signal on after up to half a second, and never the second one, so that only
SIGKILL could end a worker that does not leave. This one passes every signal on at once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from multiprocessing import parent_process
from tempfile import TemporaryDirectory

from pydantic import SecretStr
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from service.errors import DigitsError
from service.settings import Settings

PARENT_POLL_S = 0.5
LAST_REQUESTS_S = 3  # for requests in flight, once the parent is gone


class Workers(Multiprocess):
    """Starts `config.workers` processes and ends when they have ended."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._signalled: set[int | None] = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def cut_short(self) -> bool:
        """Whether a worker ended before its requests were answered."""
        return any(process.exitcode not in (0, -signal.SIGTERM, -signal.SIGINT) for process in self.processes)

    def terminate_all(self) -> None:
        """Signal workers that were started since `_pass_on`; a second signal would cut the others short."""
        for process in self.processes:
            if process.pid not in self._signalled:
                process.terminate()

    def _pass_on(self, number: int, _: object) -> None:
        for process in self.processes:
            self._signalled.add(process.pid)
            if process.pid and process.exitcode is None:
                os.kill(process.pid, number)
        self.signal_queue.append(number)  # not should_exit.set(): this handler may have interrupted its lock's holder


def shared_folder() -> TemporaryDirectory[str]:
    """A folder for all workers: in the usual place or, if the root file system is read-only, in memory.

    Raises:
        DigitsError: neither can be written to.
    """
    for place in (None, "/dev/shm"):
        with suppress(OSError):
            return TemporaryDirectory(prefix="digits-", dir=place)
    raise DigitsError(
        "several workers share a folder, and there is none to write to. Mount a tmpfs on /tmp, or set "
        "DIGITS_RUN_DIR or DIGITS_WORKERS=1."
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as DIGITS_* variables, from which each worker builds its own application."""
    values = ((name, getattr(settings, name)) for name in Settings.model_fields)
    return {
        f"DIGITS_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values
        if value is not None
    }


def follow_parent() -> None:
    """In a worker: leave the terminal's process group, and end if the parent dies."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.setpgid(0, 0)  # a terminal sends Ctrl-C to the group; the parent passes it on, and two would cut requests short


def _end_with_parent() -> None:
    """A parent that was killed cannot signal its workers, and they would hold the port for ever."""
    parent = parent_process()
    while parent and os.getppid() == parent.pid:
        time.sleep(PARENT_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_REQUESTS_S)
    os._exit(1)
