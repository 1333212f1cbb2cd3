"""In a worker: the supervisor's process. It gives orders over a pipe, learns over it that the loop turns, and may die.

Orders are no signals, because signals come from others too: systemd tells every process of a service to stop.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process

from service.server.drain import STOP_AT_ONCE
from service.telemetry.exit import end_process

POLL_S = 0.5
LAST_REQUESTS_S = 3  # for requests in flight, once the parent is gone
BEAT = b"."

Order = Callable[[int], None]


class Parent:
    """What a worker knows of its supervisor.

    Args:
        pipe: the worker's end of a socket pair.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._obey: Order = _end_at_once

    def start(self) -> None:
        """Leave the terminal's process group, listen to orders, and end where the parent dies."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        with suppress(OSError):
            os.setpgid(0, 0)  # a terminal sends Ctrl-C to the group, and the parent passes it on

    def obey(self, order: Order) -> None:
        """Have orders carried out by this function from now on: SIGTERM, SIGINT or STOP_AT_ONCE, from a thread.

        Until then nothing is served, and any order ends the process.
        """
        self._obey = order

    def beat(self) -> None:
        """Tell the parent that the loop turns. Never waits: a parent that does not read has enough of them."""
        send(self._pipe, BEAT)

    def _listen(self) -> None:
        with suppress(OSError):
            while orders := self._pipe.recv(16):
                for order in orders:
                    self._obey(order)


def send(pipe: socket.socket, data: bytes) -> None:
    """Send at once or not at all."""
    with suppress(OSError):
        pipe.send(data, socket.MSG_DONTWAIT)


def _end_at_once(order: int) -> None:
    end_process(1 if order == STOP_AT_ONCE else 0)


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its workers, and they would hold the port for ever."""
    parent = parent_process()
    while parent and os.getppid() == parent.pid:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_REQUESTS_S)
    end_process(1)
