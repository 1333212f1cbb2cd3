"""The processes of a service, as the kernel lists them."""

from __future__ import annotations

from contextlib import suppress

import psutil

from tests.support.server import Server


def worker_processes(server: Server) -> list[psutil.Process]:
    """The workers that run: no process that has ended, and not multiprocessing's own helper."""
    found = []
    for child in psutil.Process(server.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has ended, or is a zombie
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found
