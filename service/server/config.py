"""uvicorn as it runs here: our protocol, our logs, our signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.server.protocol import Protocol
from service.server.tls import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S


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


class _Server(uvicorn.Server):
    """uvicorn's server, with limits on the time that TLS takes to begin and to end a connection."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        config, loop = self.config, asyncio.get_running_loop()

        def protocol() -> Protocol:
            return Protocol(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        times = {"ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S, "ssl_shutdown_timeout": CLOSE_TIMEOUT_S}
        tls: dict[str, Any] = {"ssl": config.ssl, **times} if config.ssl else {}
        more = {"backlog": config.backlog, **tls}
        self.servers = [await loop.create_server(protocol, sock=each, **more) for each in sockets or ()]
        self.started = True


class HttpServer:
    """uvicorn, serving one application in this process.

    Args:
        make_app: called within the running loop.
        more: other arguments of uvicorn.Config.
    """

    def __init__(self, make_app: Callable[[], object], **more: Any) -> None:
        self._server = _Server(server_config(make_app, **more))

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
