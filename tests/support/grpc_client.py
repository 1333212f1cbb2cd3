"""Where the service under test listens for gRPC."""

from __future__ import annotations

import re

from tests.support.server import Server

ADDRESS = re.compile(r"gRPC on \S+:(\d+)")


def grpc_port(server: Server) -> int:
    """The port that its start-up lines tell, once it listens there: HTTP is answered only after that."""
    server.client.get("/health/live")
    found = ADDRESS.search("".join(server._lines))
    assert found, "it does not listen for gRPC"
    return int(found[1])
