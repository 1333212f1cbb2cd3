"""Which of several workers answers: the one whose process holds the other end of a connection."""

from __future__ import annotations

from contextlib import suppress

import psutil

from tests.support.server import Server


def worker_of(server: Server, local_port: int | None = None, server_port: int | None = None) -> int:
    """The process id of the worker that holds the connection from this port, or one to that port; 0: none."""
    for worker in psutil.Process(server.process.pid).children():
        with suppress(psutil.Error):
            for one in worker.net_connections("tcp"):
                if one.status == psutil.CONN_ESTABLISHED and (
                    one.raddr.port == local_port or one.laddr.port == server_port
                ):
                    return int(worker.pid)
    return 0
