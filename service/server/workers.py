"""The parent of several workers: uvicorn's, which restarts those that die, but handing every signal on at once.

uvicorn's own waits up to half a second with the first signal, and never hands on the second, so that nothing short of
SIGKILL could end a worker that will not leave.
"""

from __future__ import annotations

import os
import signal
import socket

from uvicorn import Config
from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Starts `config.workers` processes and ends when they have."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._told: set[int | None] = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hand_on)

    def cut_short(self) -> bool:
        """Whether a worker ended before its requests were answered."""
        return any(process.exitcode not in (0, -signal.SIGTERM, -signal.SIGINT) for process in self.processes)

    def terminate_all(self) -> None:
        """Tell those that were started since; a second signal would cut the others short."""
        for process in self.processes:
            if process.pid not in self._told:
                process.terminate()

    def _hand_on(self, number: int, _: object) -> None:
        for process in self.processes:
            self._told.add(process.pid)
            if process.pid and process.exitcode is None:
                os.kill(process.pid, number)
        self.signal_queue.append(number)  # not should_exit.set(): its lock may be what this handler interrupted
