"""How much one client may ask for: requests and digits per second, corrections per hour.

The counting is that of the library `limits`: a sliding window, in the memory of this process, or in Redis where several
processes and replicas count together. It costs 10 us a call in memory, so it is asked for a handful at a time: a
twentieth of the window's amount. So a client is refused at most that much too early.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from math import ceil
from time import monotonic, time

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies
from limits import RateLimitItemPerSecond

from service.errors import PayloadTooLarge, TooManyRequests, pluralize
from service.settings import Settings

log = logging.getLogger("service")

WINDOW_S = 10
HOUR_S = 3600
HANDFULS = 20  # per window
MAX_CLIENTS = 10_000  # whose handfuls are kept
NONE = 0, 0.0
REDIS_TIMEOUT_S = 0.25
REDIS_PAUSE_S = 5.0  # after a failure, in which it is not asked
NAMESPACE = "digits"


class Counter:
    """Counts for all quotas of one process.

    Args:
        url: of Redis; empty: count in memory.
    """

    def __init__(self, url: str) -> None:
        self.shared = bool(url)
        self._silent_until = 0.0
        if url:
            from redis.asyncio import ConnectionPool  # needed only where there is a Redis

            self._pool = ConnectionPool.from_url(
                url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
            )
            redis = limits.aio.storage.RedisStorage(
                f"async+{url}",
                implementation="redispy",
                connection_pool=self._pool,  # type: ignore[arg-type]
            )
            self._shared = limits.aio.strategies.SlidingWindowCounterRateLimiter(redis)
        else:
            self._own = limits.strategies.SlidingWindowCounterRateLimiter(limits.storage.MemoryStorage())

    def hit(self, item: RateLimitItemPerSecond, client: str, cost: int) -> bool:
        """Count `cost` in memory, if it is still within the limit."""
        return self._own.hit(item, client, cost=cost)

    async def hit_shared(self, item: RateLimitItemPerSecond, client: str, cost: int) -> bool:
        """The same in Redis. Where it cannot be reached everything is within the limit: the service serves on."""
        if monotonic() < self._silent_until:
            return True
        try:
            return await self._shared.hit(item, client, cost=cost)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises
            self._silent_until = monotonic() + REDIS_PAUSE_S
            log.error("Limits per client are off for %g s: Redis fails (%s)", REDIS_PAUSE_S, type(error).__name__)
            return True

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self.shared:
            await self._pool.disconnect()

    async def reset_s(self, item: RateLimitItemPerSecond, client: str) -> int:
        """Seconds until the client has some of its limit again."""
        if not self.shared:
            at = self._own.get_window_stats(item, client).reset_time
        elif monotonic() < self._silent_until:
            return 1
        else:
            try:
                at = (await self._shared.get_window_stats(item, client)).reset_time
            except Exception:  # noqa: BLE001 - as above
                return 1
        return max(1, ceil(at - time()))


class Quota:
    """One limit, for each client.

    Args:
        counter: where it is counted.
        name: of the limit, in the answer's header fields and in Redis.
        amount: in one window.
        window_s: its seconds.
        sentence: what a refused client reads; {} is the amount with its noun.
        noun: what is counted.
    """

    def __init__(self, counter: Counter, name: str, amount: int, window_s: int, noun: str) -> None:
        self._counter = counter
        self._name = name
        self._amount = amount
        self._window_s = window_s
        self._noun = noun
        self._item = RateLimitItemPerSecond(amount, window_s, namespace=f"{NAMESPACE}/{name}")
        self._handful = max(1, amount // HANDFULS)
        # client: how much of its handful, until when; the one that ends first comes first
        self._left: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def spend(self, client: str, number: int) -> bool:
        """Take `number` at once, from what was counted before, or, in memory, from what is counted now.

        Returns:
            False if that is too much, or if Redis has to be asked: then `take` answers.
        """
        left, until = self._left.get(client, NONE)
        if left >= number and monotonic() < until:
            self._left[client] = left - number, until
            return True
        if self._counter.shared:
            return False
        for more in self._tries(client, number):
            if self._counter.hit(self._item, client, more):
                self._keep(client, more - number)
                return True
        return False

    async def take(self, client: str, number: int = 1) -> None:
        """Take `number`.

        Raises:
            PayloadTooLarge: more than a whole window's amount.
            TooManyRequests: more than is left.
        """
        per = f"{pluralize(self._amount, self._noun)} in {self._window_s:,} seconds"
        if number > self._amount:
            raise PayloadTooLarge(f"One client may send {per}, and this request has {number:,}. Send it in parts.")
        if self.spend(client, number) or (self._counter.shared and await self._take_shared(client, number)):
            return
        wait_s = await self._counter.reset_s(self._item, client)
        raise TooManyRequests(
            f"You have used up what one client may send: {per}. Try again in {pluralize(wait_s, 'second')}.",
            wait_s,
            (self._name, self._amount, self._window_s),
        )

    async def _take_shared(self, client: str, number: int) -> bool:
        for more in self._tries(client, number):
            if await self._counter.hit_shared(self._item, client, more):
                self._keep(client, more - number)
                return True
        return False

    def _tries(self, client: str, number: int) -> tuple[int, ...]:
        """How much to count now: a handful, or where that is too much only what is missing."""
        missing = number - self._unspent(client)
        return (self._handful, missing) if self._handful > missing else (missing,)

    def _unspent(self, client: str) -> int:
        left, until = self._left.get(client, NONE)
        return left if monotonic() < until else 0

    def _keep(self, client: str, more: int) -> None:
        now, left = monotonic(), self._unspent(client) + more
        kept = self._left
        kept.pop(client, None)
        while kept and (len(kept) >= MAX_CLIENTS or next(iter(kept.values()))[1] <= now):
            kept.popitem(last=False)
        kept[client] = left, now + self._window_s


class Quotas:
    """All limits per client; each is None where it is off.

    Args:
        settings: `client_requests_per_s`, `client_digits_per_s`, `client_corrections_per_h`, `quota_url`.
    """

    def __init__(self, settings: Settings) -> None:
        counter = Counter(settings.quota_url.get_secret_value() if settings.quota_url else "")

        def per_window(rate: float | None, name: str, noun: str) -> Quota | None:
            return Quota(counter, name, max(1, round(rate * WINDOW_S)), WINDOW_S, noun) if rate else None

        self.requests = per_window(settings.client_requests_per_s, "requests", "request")
        self.digits = per_window(settings.client_digits_per_s, "digits", "digit")
        self.close = counter.close
        self.corrections = Quota(counter, "corrections", settings.client_corrections_per_h, HOUR_S, "correction")
