"""All processes that one server consists of, wherever they have moved to: weighed, stopped for a while, ended."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")
MARK = "BENCH_RUN"  # every process we start inherits this variable, so none escapes by leaving the process group


class Family:
    """The living processes that carry our mark in their environment, and their descendants.

    Attributes:
        mark: what to start the first of them with.
    """

    def __init__(self) -> None:
        self.mark = {MARK: uuid.uuid4().hex}

    def members(self) -> list[psutil.Process]:
        marked = [process for process in psutil.process_iter() if self._is_marked(process)]
        found = {process.pid: process for process in marked}
        for process in marked:
            with contextlib.suppress(psutil.Error):  # a child may have thrown its environment away
                found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def memory_mb(self) -> float:
        """Proportional set size of all, in MB (10^6 bytes), as it would be with nobody else on the machine.

        Plain PSS would count only a share of the Python and libc pages that the other contenders map too.
        """
        shared: dict[str, int] = {}
        own = 0
        for mapping in chain.from_iterable(self._ask(lambda process: process.memory_maps(grouped=True))):
            if mapping.path.startswith("["):  # heap, stack, anonymous: shared with the family at most
                own += mapping.pss
            else:
                own += mapping.private_clean + mapping.private_dirty
                in_common = mapping.shared_clean + mapping.shared_dirty
                shared[mapping.path] = max(shared.get(mapping.path, 0), in_common)
        return (own + sum(shared.values())) / 1e6

    def cpu_seconds(self) -> float:
        """CPU time used so far by those alive."""
        return sum(self._ask(lambda process: sum(process.cpu_times()[:2])))

    def listens_on(self, port: int) -> bool:
        """Whether one of them owns the listening socket."""
        sockets = chain.from_iterable(self._ask(lambda process: process.net_connections("tcp")))
        return any(found.status == psutil.CONN_LISTEN and found.laddr.port == port for found in sockets)

    def pause(self) -> None:
        """Stop them all (SIGSTOP): an idle server that polls would take from the one being measured."""
        self._ask(lambda process: process.suspend())

    def resume(self) -> None:
        self._ask(lambda process: process.resume())

    def kill(self) -> None:
        """End every member by its id, at once."""
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
