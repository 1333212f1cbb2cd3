"""uvicorn as it runs here: our protocol, our logs, our signals."""

from __future__ import annotations

import signal
import socket
from typing import Any

import uvicorn

from service.server.protocol import Protocol

IDLE_TIMEOUT_S = 75  # longer than the 60 s that load balancers wait by default: they must close first


def server_config(app: object, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration.

    Args:
        app: a function that makes the application, or "module:function" where worker processes call it.
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
        timeout_keep_alive=IDLE_TIMEOUT_S,
        **more,
    )


def run(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in this process until a signal."""
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:  # uvicorn drains, then raises the signal again; this handler lets us exit with 0
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
