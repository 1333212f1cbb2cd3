"""The Open Inference Protocol over gRPC, on a port of its own (DIGITS_GRPC_PORT). It needs the extra `grpc`; nothing
here loads it until a port is set.
"""

from __future__ import annotations

import socket
from importlib.util import find_spec

from service.errors import DigitsError
from service.settings import Settings


def reserve(settings: Settings) -> socket.socket | None:
    """Take the port that is set, so that every worker may listen on it, and nobody else.

    Returns:
        A socket that holds the port without listening, to be kept open; None where no port is set.

    Raises:
        DigitsError: the extra is missing, or the port is in use or not ours to take.
    """
    if settings.grpc_port is None:
        return None
    if not find_spec("grpc") or not find_spec("google.protobuf"):
        raise DigitsError("DIGITS_GRPC_PORT needs the extra grpc: pip install 'digit-recognizer[grpc]'.")
    port = settings.grpc_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as alone:  # a socket that shares would not notice another that does
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
        shared = socket.socket(family, kind, protocol)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(address)
    except OSError as error:
        raise DigitsError(
            f"{settings.host}:{port} cannot be listened on for gRPC ({error.strerror}). "
            "Stop what listens there, or set DIGITS_GRPC_PORT."
        ) from None
    return shared
