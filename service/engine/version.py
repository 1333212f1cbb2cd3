"""One loaded version of a model: what every answer comes from. It knows no other version, and nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from time import perf_counter_ns

from service.digits import Pixels, Probabilities
from service.engine.batcher import Batcher
from service.engine.model import Model
from service.repository.repository import Card
from service.telemetry.statistics import Statistics


class Lecture(Enum):
    """What the lecture's own output is to a caller."""

    UNWANTED = "unwanted"
    OPTIONAL = "welcome"  # from a version that has it, whichever answers
    REQUIRED = "needed"  # a version without it does not answer


@dataclass(frozen=True)
class LoadedVersion:
    """One loaded version. Whoever holds it finishes on it, whatever is promoted meanwhile."""

    name: str
    version: int
    card: Card
    model: Model
    batcher: Batcher
    lecture_batcher: Batcher
    statistics: Statistics

    @cached_property
    def key(self) -> str:
        """What its numbers are kept under."""
        return f"{self.name} {self.version}"

    async def predict(self, pixels: Pixels, lecture: bool = False) -> Probabilities:
        """uint8 (n, 28, 28) -> float32 (n, 10), or with `lecture` (n, 110) where Model.predict_all has it.

        Raises:
            Unavailable: the queue is full.
        """
        since = perf_counter_ns()
        try:
            batcher = self.lecture_batcher if lecture and self.model.has_lecture_output else self.batcher
            answer = await batcher.submit(pixels)
        except BaseException:
            self.statistics.failed(self.key, since)
            raise
        self.statistics.answered(self.key, since)
        return answer  # type: ignore[return-value]

    def close(self) -> None:
        self.batcher.close()
        self.lecture_batcher.close()
