"""Where a server of the tests listens."""

from __future__ import annotations

import re

from tests.support.server import Server


def grpc_address(server: Server) -> str:
    """host:port of its gRPC, as it says in its log."""
    server.client.get("/health/ready")  # answered once gRPC listens too
    found = re.search(r"gRPC on (\S+)", "".join(server._lines))
    assert found
    return found[1]
