"""Slows down who guesses keys: after some wrong ones an address is not listened to for a while.

Keys that this address has used before are still let in, so that nobody can lock out others behind the same address.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from time import monotonic, time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.errors import TooManyRequests, pluralize

MINUTE_S = 60
MAX_KNOWN = 10_000  # pairs of an address and a key that was right, and addresses that sent wrong keys


class Guesses:
    """Counts wrong keys per address, in this process.

    Args:
        most_per_min: wrong keys that an address may send in a minute.
    """

    def __init__(self, most_per_min: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(most_per_min, namespace="guesses")
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._until: OrderedDict[str, float] = OrderedDict()  # the address that ceases to be suspect first comes first

    def suspect(self, address: str) -> bool:
        """Whether this address has sent a wrong key within the last minute; costs next to nothing."""
        return bool(self._until) and self._until.get(address, 0.0) > monotonic()

    def check(self, address: str, key: str | None) -> None:
        """Raise TooManyRequests where this address has sent too many wrong keys; for right and wrong ones alike.

        Args:
            address: who sends a key.
            key: its name; None if it is wrong.
        """
        if self.suspect(address) and (address, key) not in self._known and not self._limiter.test(self._item, address):
            wait_s = max(1, ceil(self._limiter.get_window_stats(self._item, address).reset_time - time()))
            raise TooManyRequests(
                f"This address has sent too many wrong keys. Try again in {pluralize(wait_s, 'second')}.", wait_s
            )

    def wrong(self, address: str) -> None:
        """Count a wrong key."""
        now, suspects = monotonic(), self._until
        suspects.pop(address, None)
        while suspects and (len(suspects) >= MAX_KNOWN or next(iter(suspects.values())) <= now):
            oldest, _ = suspects.popitem(last=False)
            self._limiter.clear(self._item, oldest)  # what is counted is looked through now and then, all of it
        suspects[address] = now + MINUTE_S
        self._limiter.hit(self._item, address)

    def right(self, address: str, key: str) -> None:
        """Remember that this address has the key of this name."""
        if (address, key) not in self._known:
            self._known[address, key] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
