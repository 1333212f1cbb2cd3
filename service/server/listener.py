"""The ports of this process, for HTTP and gRPC alike: each is bound before anything slow is done.

A name with several addresses, as localhost has in most systems (127.0.0.1 and ::1), is bound at all of them, under one
port number.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from service.errors import DigitsError
from service.settings import Settings

log = logging.getLogger("service")

BACKLOG = 2048
NOT_AVAILABLE = (errno.EADDRINUSE, errno.EACCES)
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a family that this machine or container does not have
ELSEWHERE = "Set DIGITS_HOST to an address of this machine"
TRIES = 20  # to find a port that is free at all addresses


class Place(NamedTuple):
    """One address of a host."""

    kind: tuple[int, int, int]
    address: tuple[Any, ...]

    def bind(self, port: int, option: int) -> socket.socket:
        """A socket with this option, bound to this place and port."""
        with _closed_on_error(socket.socket(*self.kind)) as bound:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
            bound.bind((self.address[0], port, *self.address[2:]))
        return bound


def authority(host: str, port: int) -> str:
    """host:port as URLs have it: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def listen(host: str, port: int, setting: str = "DIGITS_PORT") -> Iterator[list[socket.socket]]:
    """Listen for HTTP; port 0 asks the system for a free one. `setting` names the port where it is taken.

    Yields:
        A socket for each address of the host; all have the same port.

    Raises:
        DigitsError: an address is in use or not allowed, or none is one of this machine.
    """
    with ExitStack() as held:
        try:
            listeners = _bind_all(host, port, _listener, held)
        except (OSError, UnicodeError) as error:
            taken = getattr(error, "errno", None) in NOT_AVAILABLE
            advice = f"Stop what listens there, or set {setting}" if taken else ELSEWHERE
            raise DigitsError(f"{host}:{port} cannot be listened on ({_why(error)}). {advice}.") from None
        yield listeners


@contextmanager
def listening_for_admins(settings: Settings) -> Iterator[tuple[Settings, list[socket.socket]]]:
    """Listen on the port for admin calls, if one is set.

    Yields:
        The settings, with the port's number where 0 asked the system for a free one, and the sockets.

    Raises:
        DigitsError: as `listen`.
    """
    if settings.admin_port is None:
        yield settings, []
        return
    host = settings.admin_host or settings.host
    with listen(host, settings.admin_port, "DIGITS_ADMIN_PORT") as listeners:
        port = listeners[0].getsockname()[1]
        log.info("Admin calls and metrics on %s", authority(host, port))
        yield settings.model_copy(update={"admin_port": port}), listeners


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
    host = settings.host
    with ExitStack() as held:
        try:
            port = _bind_all(host, settings.grpc_port, _reservation, held)[0].getsockname()[1]
        except (OSError, UnicodeError) as error:
            raise DigitsError(
                f"{host}:{settings.grpc_port} cannot be listened on for gRPC ({_why(error)}). "
                "Stop what listens there, or set DIGITS_GRPC_PORT."
            ) from None
        log.info("gRPC on %s", authority(host, port))
        yield settings.model_copy(update={"grpc_port": port})


def _listener(place: Place, port: int) -> socket.socket:
    with _closed_on_error(place.bind(port, socket.SO_REUSEADDR)) as listener:
        listener.listen(BACKLOG)
    return listener


def _reservation(place: Place, port: int) -> socket.socket:
    """A socket that is bound and does not listen: calls go to the workers, which share the port and do listen."""
    with place.bind(port, socket.SO_REUSEADDR) as exclusive:  # one that shares its port would not notice others
        port = exclusive.getsockname()[1]
    return place.bind(port, socket.SO_REUSEPORT)


def _bind_all(
    host: str, port: int, bind: Callable[[Place, int], socket.socket], held: ExitStack
) -> list[socket.socket]:
    """A socket for each address of the host, closed when `held` is."""
    places = _places(host)
    for tries_left in reversed(range(TRIES)):
        with ExitStack() as bound:
            try:
                sockets = _bind_each(places, port, bind, bound)
            except OSError as error:
                if port == 0 and error.errno == errno.EADDRINUSE and tries_left:
                    continue  # free at the first address only
                raise
            held.push(bound.pop_all())
            return sockets
    raise AssertionError("the last try returns or raises")


def _bind_each(
    places: list[Place], port: int, bind: Callable[[Place, int], socket.socket], bound: ExitStack
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for place in places:
        try:
            sockets.append(bound.enter_context(bind(place, port)))
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            missing = missing or error
        else:
            port = sockets[-1].getsockname()[1]
    if missing and not sockets:
        raise missing
    return sockets


def _places(host: str) -> list[Place]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Place((family, kind, protocol), where) for family, kind, protocol, _, where in found))


def _why(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or "no such host"


@contextmanager
def _closed_on_error(new: socket.socket) -> Iterator[socket.socket]:
    try:
        yield new
    except OSError:
        new.close()
        raise
