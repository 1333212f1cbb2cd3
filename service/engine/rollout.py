"""A rollout: a candidate runs next to the served version, as canary (it answers a share of requests) or shadow (none).

A thread of low priority runs the other version on the same digits, and the predicted classes are compared.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

from service.concurrency import give_way
from service.digits import Pixels, Probabilities
from service.engine.evidence import Evidence
from service.engine.model import CLASSES
from service.engine.version import LoadedVersion
from service.errors import RunTimeout, Unavailable
from service.repository.rollout_plan import RolloutPlan

MAX_WAITING = 256  # requests that wait for their comparison; more are not compared, and counted as dropped
MAX_ROWS = 64  # digits per request that are compared


class Rollout:
    """One rollout in this process.

    Args:
        plan: its settings, from the repository.
        candidate: the new version, loaded.
    """

    def __init__(self, plan: RolloutPlan, candidate: LoadedVersion) -> None:
        self.plan = plan
        self.candidate = candidate
        self._secret = blake2b(plan.secret.encode()).digest()
        self._evidence = Evidence(plan.most_per_client())
        self._requests = self._errors = self._compared = self._disagreed = self._dropped = 0
        self._waiting = 0
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "trial", initializer=give_way)

    def falls_to_candidate(self, request_id: bytes) -> bool:
        """Whether a canary answers this request: the same id gets the same version, and no caller can know which."""
        if self.plan.shadow:
            return False
        drawn = blake2b(request_id, digest_size=8, key=self._secret).digest()
        return int.from_bytes(drawn) % 10_000 < self.plan.percent * 100

    async def predict(
        self, live: LoadedVersion, request_id: bytes, pixels: Pixels, lecture: bool = False, client: str = "-"
    ) -> tuple[LoadedVersion, Probabilities]:
        """Predict with the version that the id selects. If the candidate fails, the served version answers."""
        if self.candidate.timeouts.withdrawn or not self.falls_to_candidate(request_id):
            probabilities = await live.predict(pixels, lecture)
            if self.plan.shadow:
                self._requests += 1
                self._compare(self.candidate, client, pixels, probabilities)
            return live, probabilities
        self._requests += 1
        try:
            probabilities = await self.candidate.predict(pixels, lecture)
        except (Unavailable, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - an error of the candidate must not reach the caller
            self._errors += 1
            return live, await live.predict(pixels, lecture)
        self._compare(live, client, pixels, probabilities)
        return self.candidate, probabilities

    def counts(self) -> dict[str, Any]:
        """The counters of this worker."""
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
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.candidate.close()

    def _compare(self, other: LoadedVersion, client: str, pixels: Pixels, probabilities: Probabilities) -> None:
        if self._closed:  # a request that began before the rollout ended
            return
        if self._waiting >= MAX_WAITING:
            self._dropped += 1
            return
        count = self._evidence.selects(client, pixels[:MAX_ROWS])
        if not count.any():
            return
        self._waiting += 1
        self._thread.submit(self._run_other, other, pixels[:MAX_ROWS][count], probabilities[:MAX_ROWS, :CLASSES][count])

    def _run_other(self, other: LoadedVersion, pixels: Pixels, probabilities: Probabilities) -> None:
        self._waiting -= 1
        try:
            other.timeouts.check()
            found = other.model.predict(pixels)
        except RunTimeout:  # counts as one of a caller does: three of them end a shadow, too
            other.timeouts.add()
            self._errors += 1
            return
        except Exception:  # noqa: BLE001 - counted; the caller has its answer already
            self._errors += 1
            return
        self._compared += len(found)
        self._disagreed += int((found.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
