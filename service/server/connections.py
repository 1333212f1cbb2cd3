"""The HTTP connections of one process: how many, in all and per client address, and what their unread answers hold."""

from __future__ import annotations

from service.access.client import Addresses, network_of
from service.server.budget import Budget, Lease
from service.server.rejection import Rejection

RETRY_AFTER = (("retry-after", "1"),)
LAST_READ_S = 5.0  # an answer may wait unread for so long once the service stops


class Connections:
    """Counts open connections; used on the event loop alone.

    Args:
        most: open at the same time.
        most_per_client: the same for one address; None: half of `most`.
        budget: what unread answers count against.
        addresses: knows trusted proxies, which speak for many clients.
        unread_timeout_s: how long a client may read nothing of its answer.
    """

    def __init__(
        self, most: int, most_per_client: int | None, budget: Budget, unread_timeout_s: float, addresses: Addresses
    ) -> None:
        self._addresses = addresses
        self.unread_timeout_s = unread_timeout_s
        self._budget = budget
        self._most = most
        self._most_per_client = most_per_client or max(1, most // 2)
        self._open = 0
        self._of_clients: dict[str, int] = {}
        self._full = Rejection(
            503, f"The service has {most:,} open connections, its limit. Try again in a second.", RETRY_AFTER
        )
        self._full_for_client = Rejection(
            503,
            f"This address has {self._most_per_client:,} open connections, its limit. Close some, or use them again.",
            RETRY_AFTER,
        )

    def opened(self, client: str) -> Rejection | None:
        """Count a new connection of this address, and say why it is one too many; None if it is not."""
        self._open += 1
        name = network_of(client)
        mine = self._of_clients[name] = self._of_clients.get(name, 0) + 1
        if self._open > self._most:
            return self._full
        if mine <= self._most_per_client or self._addresses.trust(client):
            return None
        return self._full_for_client

    def closed(self, client: str) -> None:
        """Count one less."""
        self._open -= 1
        name = network_of(client)
        if self._of_clients[name] > 1:
            self._of_clients[name] -= 1
        else:
            del self._of_clients[name]

    def lease(self, client: str) -> Lease:
        """For the unread answers of one connection."""
        return Lease(self._budget, client)

    def leave(self) -> None:
        """The service stops: it waits less long for clients that read nothing."""
        self.unread_timeout_s = min(self.unread_timeout_s, LAST_READ_S)

    @property
    def crowded(self) -> bool:
        """Whether so many are open that a refused one must not even wait for its sentence."""
        return self._open > self._most + self._most // 8
