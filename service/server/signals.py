"""The signals that stop a service, as numbers in a pipe: they come at once, whatever the main thread is doing."""

from __future__ import annotations

import os
import signal
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def into_pipe() -> int:
    """In the main thread: from now on signals go into a pipe; both its ends stay open. The end to read bytes from.

    A signal that is ignored already, as SIGHUP under nohup, stays ignored.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _nothing)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _nothing(*_: Any) -> None:
    """A handler must be there; what it would do is done by whoever reads the pipe."""
