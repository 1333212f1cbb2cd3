"""Which names this service answers to: a page of a foreign site that has its own name point here must not reach it.

Such DNS rebinding gets past the browser's rules, because for the browser page and service have one name. It does not
get past a service that knows its own names, and on loopback these are few.
"""

from __future__ import annotations

from ipaddress import ip_address

from service.settings import Settings

LOOPBACK = "localhost,*.localhost,127.0.0.1,[::1]"
ANY = "*"


class Hosts:
    """The names that a Host header may have.

    Args:
        settings: `allowed_hosts`; empty: loopback's names where the service listens there, and otherwise any.

    Attributes:
        any: every host is allowed; then nothing need be checked.
    """

    def __init__(self, settings: Settings) -> None:
        local = _is_loopback(settings.host)
        text = settings.allowed_hosts or (f"{LOOPBACK},{_bracketed(settings.host)}" if local else ANY)
        names = [name.strip().lower() for name in text.split(",")]
        self.any = ANY in names
        self._names = {name.encode() for name in names if not name.startswith("*.")}
        self._endings = tuple(name[1:].encode() for name in names if name.startswith("*."))

    def allow(self, host: bytes) -> bool:
        """Whether a valid Host header, with or without a port, is one of the names."""
        name = (host[: host.index(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]).lower().rstrip(b".")
        return self.any or name in self._names or name.endswith(self._endings)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
