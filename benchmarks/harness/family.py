"""All processes of one server, also those that left its process group: measured, suspended, ended."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")
MARK = "BENCH_RUN"  # inherited by every process that we start, so that it is found outside its process group too


class Family:
    """The live processes with our mark in their environment, and their descendants.

    Attributes:
        mark: the environment variable to start the first of them with.
    """

    def __init__(self) -> None:
        self.mark = {MARK: uuid.uuid4().hex}

    def members(self) -> list[psutil.Process]:
        marked = [process for process in psutil.process_iter() if self._is_marked(process)]
        found = {process.pid: process for process in marked}
        for process in marked:
            with contextlib.suppress(
                psutil.Error
            ):  # it ended; a child is asked for too, since it may have cleared its environment
                found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def memory_mb(self) -> float:
        """Proportional set size of all in MB (10^6 bytes), as if no other process shared their pages.

        Plain PSS would divide pages of Python and libc by the number of contenders that map them.
        """
        shared: dict[str, int] = {}
        own = 0
        for mapping in chain.from_iterable(self._ask(lambda process: process.memory_maps(grouped=True))):
            if mapping.path.startswith("["):  # heap, stack, anonymous memory: shared within this family only
                own += mapping.pss
            else:
                own += mapping.private_clean + mapping.private_dirty
                in_common = mapping.shared_clean + mapping.shared_dirty
                shared[mapping.path] = max(shared.get(mapping.path, 0), in_common)
        return (own + sum(shared.values())) / 1e6

    def cpu_seconds(self) -> float:
        """CPU time, user and system, that the live processes have used so far."""
        return sum(self._ask(lambda process: sum(process.cpu_times()[:2])))

    def listens_on(self, port: int) -> bool:
        """Whether one of them owns the listening socket."""
        sockets = chain.from_iterable(self._ask(lambda process: process.net_connections("tcp")))
        return any(found.status == psutil.CONN_LISTEN and found.laddr.port == port for found in sockets)

    def pause(self) -> None:
        """Suspend them all (SIGSTOP): an idle server that polls would take CPU time from the one being measured."""
        self._ask(lambda process: process.suspend())

    def resume(self) -> None:
        self._ask(lambda process: process.resume())

    def kill(self) -> None:
        """Kill every member by its id."""
        left = self.members()
        self._ask(lambda process: process.kill())
        psutil.wait_procs(left, timeout=5)

    def _ask(self, question: Callable[[psutil.Process], Answer]) -> list[Answer]:
        answers = []
        for process in self.members():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                answers.append(question(process))
        return answers

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return bool(process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark[MARK])
        except psutil.Error:
            return False
