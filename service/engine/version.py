"""One loaded version of a model, with its batchers. It knows no other version, and nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from time import perf_counter_ns

from service.digits import Pixels, Probabilities
from service.engine.batcher import Batcher
from service.engine.model import Model
from service.engine.run_timeouts import RunTimeouts
from service.repository.card import Card
from service.telemetry.statistics import Statistics


class Lecture(Enum):
    """Whether a request asks for the second output, `lecture_output`."""

    UNWANTED = "unwanted"
    OPTIONAL = "optional"  # included if the version that answers has it
    REQUIRED = "required"  # only a version that has it answers


@dataclass(frozen=True)
class LoadedVersion:
    """One loaded version. A request that holds it finishes on it, even if another version is promoted meanwhile."""

    name: str
    version: int
    card: Card
    model: Model
    batcher: Batcher
    lecture_batcher: Batcher
    statistics: Statistics
    timeouts: RunTimeouts

    @cached_property
    def key(self) -> str:
        """Its key in metrics and statistics: "name version"."""
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
