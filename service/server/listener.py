"""The ports of this process, for HTTP and gRPC alike: each is bound before anything slow is done."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.errors import DigitsError
from service.settings import Settings

log = logging.getLogger("service")

BACKLOG = 2048
NOT_AVAILABLE = (errno.EADDRINUSE, errno.EACCES)


def authority(host: str, port: int) -> str:
    """host:port as URLs have it: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Listen for HTTP; port 0 asks the system for a free one.

    Raises:
        DigitsError: the address is in use, not allowed, or not one of this machine.
    """
    try:
        kind, address = _resolve(host, port)
        with _closed_on_error(socket.socket(*kind)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", "no such host")
        taken = getattr(error, "errno", None) in NOT_AVAILABLE
        advice = (
            "Stop what listens there, or set DIGITS_PORT" if taken else "Set DIGITS_HOST to an address of this machine"
        )
        raise DigitsError(f"{host}:{port} cannot be listened on ({why}). {advice}.") from None
    return listener


@contextmanager
def reserved_for_grpc(settings: Settings) -> Iterator[Settings]:
    """Hold the port for gRPC, if one is set, so that every worker may listen on it and no other program.

    Yields:
        The settings, with the port's number where 0 asked the system for a free one.

    Raises:
        DigitsError: the port is in use or not allowed.
    """
    if settings.grpc_port is None:
        yield settings
        return
    with _reserve(settings.host, settings.grpc_port) as held:
        port = held.getsockname()[1]
        log.info("gRPC on %s", authority(settings.host, port))
        yield settings.model_copy(update={"grpc_port": port})


def _reserve(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen: calls go to the workers, which share the port and do listen."""
    try:
        kind, address = _resolve(host, port)
        with socket.socket(*kind) as exclusive:  # a socket that shares its port would not notice others that share it
            exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            exclusive.bind(address)
            address = exclusive.getsockname()
        with _closed_on_error(socket.socket(*kind)) as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(address)
    except OSError as error:
        raise DigitsError(
            f"{host}:{port} cannot be listened on for gRPC ({error.strerror}). "
            "Stop what listens there, or set DIGITS_GRPC_PORT."
        ) from None
    return held


def _resolve(host: str, port: int) -> tuple[tuple[int, int, int], Any]:
    """Family, type and protocol of a socket for this host, and the address to bind it to."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return (family, kind, protocol), address


@contextmanager
def _closed_on_error(new: socket.socket) -> Iterator[socket.socket]:
    try:
        yield new
    except OSError:
        new.close()
        raise
