"""Processes that nobody waits for. As the first process of a container this one inherits every process whose parent
has ended, such as the check of a version whose worker was killed, and must wait for it, or it stays as a zombie.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic

PATIENCE_S = 2.0  # our own children are waited for by whoever started them, and sooner than that


class Orphans:
    """`reap()` is to be called about twice per second."""

    def __init__(self) -> None:
        self._pid = 0
        self._since = 0.0

    def reap(self) -> None:
        """Wait for one ended process that nobody else has waited for. Returns at once."""
        with suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            pid = ended.si_pid if ended else 0
            if pid != self._pid:
                self._pid, self._since = pid, monotonic()
            elif pid and monotonic() - self._since > PATIENCE_S:
                os.waitpid(pid, os.WNOHANG)
