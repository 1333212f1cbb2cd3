"""The end of a process that serves: its log lines are written, and nothing of Python's own end is waited for.

Python's own end joins threads, runs exit handlers and frees libraries while daemon threads still run in them: a request
that hangs in a model would hold it up, and a thread that wakes meanwhile can crash it. All that must be kept is on disk
by then.
"""

from __future__ import annotations

import os
import threading
from typing import NoReturn

from service.telemetry.logs import flush

_first = threading.RLock()  # a signal's handler may end the process while its thread does so already


def end_process(code: int) -> NoReturn:
    """End this process with this exit code, from any thread. Of several threads the first decides, the others wait."""
    _first.acquire()
    flush()
    os._exit(code)
