"""TLS for gRPC, with the certificate that is in force as each connection begins."""

from __future__ import annotations

from typing import Any

import grpc

from service.server.tls import Tls


def credentials_of(tls: Tls) -> Any:
    """Server credentials that follow `tls`."""
    given = tls.pair

    def changed() -> Any:
        """Called by gRPC before each handshake, in a thread of its own; None: as before."""
        nonlocal given
        if tls.pair is given:
            return None
        given = tls.pair
        return grpc.ssl_server_certificate_configuration([given])

    first = grpc.ssl_server_certificate_configuration([given])
    return grpc.dynamic_ssl_server_credentials(first, changed)
