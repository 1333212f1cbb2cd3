"""uvicorn as it runs here: our protocol, our logs, our signals."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from service.server.protocol import Protocol


def server_config(app: object, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration.

    Args:
        app: a function that makes the application.
        more: other arguments of uvicorn.Config.
    """
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=True,
        http=Protocol,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **more,
    )


class HttpServer:
    """uvicorn, serving one application in this process.

    Args:
        make_app: called within the running loop.
        more: other arguments of uvicorn.Config.
    """

    def __init__(self, make_app: Callable[[], object], **more: Any) -> None:
        self._server = uvicorn.Server(server_config(make_app, **more))

    def run(self, listeners: list[socket.socket]) -> None:
        """Serve until `finish`."""
        self._server.run(sockets=listeners)
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn has put the handlers of before back; it ends anyway
            signal.signal(number, signal.SIG_IGN)

    def finish(self) -> None:
        """Close all connections, end the application, and return from `run`."""
        self._server.should_exit = True

    def stop_accepting(self) -> None:
        """Leave new connections to the other processes that listen on the same socket."""
        for server in self._server.servers:
            server.close()
