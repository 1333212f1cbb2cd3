"""The bytes that requests may hold at the same time in one process: bodies, what they unpack to, and unread answers.

A lease is taken before a body is read, and grows before it is decompressed further. Small bodies are free: there are at
most as many of them as connections, so that ordinary requests pass while large ones are refused.

A request whose body has not been read yet, or not been unpacked, waits a moment for what others give back.
"""

from __future__ import annotations

from service.concurrency import BIG_BYTES, Waiters
from service.errors import Unavailable

RETRY_AFTER_S = 1
SHARE = 2  # a client may hold one SHAREth of all

REFUSED = (
    "The service holds as many bytes of other requests as it may (DIGITS_MAX_INFLIGHT_BYTES, {:,}). "
    "Try again in a second, or send smaller requests."
)


class Budget:
    """Bytes in flight of one process; used on the event loop alone.

    Whatever the limit, the first lease of all may be of any size, and so may a client's first within the limit:
    the largest body is bounded by settings of its own.

    Args:
        most: bytes that all leases may hold.

    Attributes:
        used: bytes that they hold.
        waiters: requests that wait for bytes.
    """

    __slots__ = ("_of_clients", "most", "used", "waiters")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._of_clients: dict[str, int] = {}
        self.waiters = Waiters()

    def allows(self, lease: Lease, more: int) -> bool:
        """Whether this lease may grow by `more` bytes."""
        if self.used + more > self.most and self.used > lease.size:
            return False
        held = self._of_clients.get(lease.client, 0)
        return held + more <= self.most // SHARE or held == lease.size

    def add(self, client: str, size: int) -> None:
        """Count `size` bytes more of this client; fewer if it is negative."""
        self.used += size
        held = self._of_clients.get(client, 0) + size
        if held:
            self._of_clients[client] = held
        else:
            self._of_clients.pop(client, None)
        if size < 0:
            self.waiters.wake()


class Lease:
    """What one request holds of the budget, or one connection with an unread answer. To be closed in any case.

    Args:
        budget: what it is taken from.
        client: who holds it.

    Attributes:
        size: bytes.
    """

    __slots__ = ("_budget", "client", "size")

    def __init__(self, budget: Budget, client: str) -> None:
        self._budget = budget
        self.client = client
        self.size = 0

    def hold(self, size: int) -> None:
        """Grow to this size, in bytes, if it is smaller. Up to 64 KiB are free.

        Raises:
            Unavailable: others hold too much; nothing is taken.
        """
        if size <= BIG_BYTES or size <= self.size:
            return
        if not self._budget.allows(self, size - self.size):
            raise Unavailable(REFUSED.format(self._budget.most), RETRY_AFTER_S)
        self.set(size)

    async def take(self, size: int) -> None:
        """The same, but where others hold too much, wait for a second at most until they hold less."""
        if size > BIG_BYTES and size > self.size:
            await self._budget.waiters.until(lambda: self._budget.allows(self, size - self.size))
        self.hold(size)

    def set(self, size: int) -> None:
        """Hold exactly this many bytes, which are there already."""
        self._budget.add(self.client, size - self.size)
        self.size = size

    def close(self) -> None:
        """Give everything back."""
        if self.size:
            self.set(0)
