"""A version on trial beside the live one: canary (it answers a share of requests) or shadow (it answers none).

Either way both versions see the digits of the trial, the second off the hot path, and their answers are compared.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zlib import crc32

from service.concurrency import give_way
from service.digits import Pixels, Probabilities
from service.engine.model import CLASSES, Model
from service.engine.version import LoadedVersion
from service.errors import Unavailable
from service.repository.rollout_plan import RolloutPlan

MOST_WAITING = 256  # requests whose comparison waits; more are dropped and counted
MOST_ROWS = 64  # digits of one request that are compared


class Rollout:
    """One trial in this process.

    Args:
        plan: what the repository says of it.
        candidate: the version on trial, loaded.
    """

    def __init__(self, plan: RolloutPlan, candidate: LoadedVersion) -> None:
        self.plan = plan
        self.candidate = candidate
        self._requests = self._errors = self._compared = self._disagreed = self._dropped = 0
        self._waiting = 0
        self._closed = False
        self._aside = ThreadPoolExecutor(1, "trial", initializer=give_way)

    def falls_to_candidate(self, request_id: bytes) -> bool:
        """Whether a canary answers this request: by the id's hash, so that a caller can pin the version."""
        return not self.plan.shadow and crc32(request_id) % 10_000 < self.plan.percent * 100

    async def predict(
        self, live: LoadedVersion, request_id: bytes, pixels: Pixels, lecture: bool = False
    ) -> tuple[LoadedVersion, Probabilities]:
        """Answer by the version whose turn it is; a candidate that fails is counted, and the live version answers."""
        if self.candidate.timeouts.withdrawn or not self.falls_to_candidate(request_id):
            probabilities = await live.predict(pixels, lecture)
            if self.plan.shadow:
                self._requests += 1
                self._compare(self.candidate.model, pixels, probabilities)
            return live, probabilities
        self._requests += 1
        try:
            probabilities = await self.candidate.predict(pixels, lecture)
        except (Unavailable, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the caller must not notice
            self._errors += 1
            return live, await live.predict(pixels, lecture)
        self._compare(live.model, pixels, probabilities)
        return self.candidate, probabilities

    def counts(self) -> dict[str, Any]:
        """What this worker saw so far."""
        return {
            "id": self.plan.id,
            "version": self.plan.version,
            "requests": self._requests,
            "errors": self._errors,
            "compared": self._compared,
            "disagreed": self._disagreed,
            "dropped": self._dropped,
        }

    def close(self) -> None:
        self._closed = True
        self._aside.shutdown(wait=False, cancel_futures=True)
        self.candidate.close()

    def _compare(self, other: Model, pixels: Pixels, probabilities: Probabilities) -> None:
        if self._closed:  # a request that began before the trial ended
            return
        if self._waiting >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting += 1
        self._aside.submit(self._run_other, other, pixels[:MOST_ROWS], probabilities[:MOST_ROWS, :CLASSES])

    def _run_other(self, other: Model, pixels: Pixels, probabilities: Probabilities) -> None:
        self._waiting -= 1
        try:
            said = other.predict(pixels)
        except Exception:  # noqa: BLE001 - counted, and never the caller's business
            self._errors += 1
            return
        self._compared += len(said)
        self._disagreed += int((said.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
