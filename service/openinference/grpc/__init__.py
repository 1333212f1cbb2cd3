"""The Open Inference Protocol over gRPC, on a port of its own (DIGITS_GRPC_PORT). It needs the extra `grpc`: nothing
here loads it until a port is set.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from service.errors import DigitsError
from service.settings import Settings

if TYPE_CHECKING:
    from service.context import Context
    from service.openinference.grpc.server import GrpcServer

log = logging.getLogger("service")


def check_installed() -> None:
    """Raises DigitsError where the extra is missing."""
    if not find_spec("grpc") or not find_spec("google") or not find_spec("google.protobuf"):
        raise DigitsError("DIGITS_GRPC_PORT needs the extra grpc: pip install 'digit-recognizer[grpc]'.")


def server_for(context: Context) -> GrpcServer | None:
    """The server, not started yet; None where no port is set. Raises DigitsError where the extra is missing."""
    if context.settings.grpc_port is None:
        return None
    check_installed()
    from service.openinference.grpc.server import GrpcServer

    return GrpcServer(context)


@contextmanager
def reserved(settings: Settings) -> Iterator[Settings]:
    """Hold the port that is set, if one is, so that every worker may listen on it and nobody else.

    Yields:
        The settings, with the port's number where 0 asked the system for a free one.

    Raises:
        DigitsError: the extra is missing, or the port is in use or not ours to take.
    """
    if settings.grpc_port is None:
        yield settings
        return
    check_installed()
    with _take(settings.host, settings.grpc_port) as held:
        port = held.getsockname()[1]
        log.info("gRPC on %s:%d", f"[{settings.host}]" if ":" in settings.host else settings.host, port)
        yield settings.model_copy(update={"grpc_port": port})


def _take(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as alone:  # one that shares would not notice others that share
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
        held = socket.socket(family, kind, protocol)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(address)  # bound and not listening: calls go to the workers, which do
        except OSError:
            held.close()
            raise
    except OSError as error:
        raise DigitsError(
            f"{host}:{port} cannot be listened on for gRPC ({error.strerror}). "
            "Stop what listens there, or set DIGITS_GRPC_PORT."
        ) from None
    return held
