"""Which digits of a trial count for its verdict: strangers send digits too, and must not be able to decide it.

Each digit counts once, a picture that shows no digit does not count, and one client gives at most a share of all.
"""

from __future__ import annotations

import logging
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from service.digits import Pixels

log = logging.getLogger("service")

BRIGHT = 127
MIN_INK, MAX_INK = 10, 450  # bright pixels of 784; MNIST's 60,000 training digits have 15 to 312
MAX_KNOWN = 200_000  # digits that are told apart; a shadow may see more
MAX_CLIENTS = 10_000


class Evidence:
    """What one process has counted in one trial; used on the event loop alone.

    Args:
        most_per_client: digits that one client may give.
    """

    def __init__(self, most_per_client: int) -> None:
        self._most_per_client = most_per_client
        self._known: set[bytes] = set()
        self._of_clients: dict[str, int] = {}

    def selects(self, client: str, pixels: Pixels) -> NDArray[np.bool_]:
        """Which of these digits count, and count them.

        Args:
            client: who sent them.
            pixels: uint8 (n, 28, 28).

        Returns:
            bool (n,).
        """
        ink = np.count_nonzero(pixels > BRIGHT, axis=(1, 2))
        chosen = (ink >= MIN_INK) & (ink <= MAX_INK)
        for at in np.flatnonzero(chosen):
            chosen[at] = self._is_new(pixels[at]) and self._has_room(client)
        return np.asarray(chosen, bool)

    def _is_new(self, digit: Pixels) -> bool:
        key = blake2b(digit.tobytes(), digest_size=8).digest()
        if key in self._known or len(self._known) >= MAX_KNOWN:
            return False
        self._known.add(key)
        return True

    def _has_room(self, client: str) -> bool:
        given = self._of_clients.get(client, 0)
        if given >= self._most_per_client or (not given and len(self._of_clients) >= MAX_CLIENTS):
            return False
        self._of_clients[client] = given + 1
        if given + 1 == self._most_per_client:
            log.info(
                "%s has given its share of a trial's digits (%d); others give the rest, or set --client-share",
                client,
                self._most_per_client,
            )
        return True
