"""The last answers, in memory: what feedback refers to and what drift is measured on. It knows arrays, not HTTP.

A ring of fixed size. With several workers each ring is a memory-mapped file in the folder they share, so that feedback
finds an answer whichever worker gave it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import time

import numpy as np
from numpy.typing import NDArray

from service.digits import Pixels, Probabilities

SLOT = np.dtype(
    [
        ("id", "S128"),
        ("row", "u4"),
        ("model", "S64"),
        ("version", "u8"),
        ("time", "f8"),
        ("pixels", "u1", (28, 28)),
        ("probabilities", "f4", (10,)),
    ]
)
MOST_ROWS_OF_ONE = 64


@dataclass(frozen=True)
class Answer:
    """One digit that was answered: what the model saw and what it said."""

    model: str
    version: int
    pixels: Pixels
    probabilities: Probabilities


class RecentPredictions:
    """A ring of the last `capacity` digits.

    Args:
        capacity: digits to remember; about a kilobyte each.
        folder: where workers share their rings; None for a worker that is alone.
    """

    def __init__(self, capacity: int, folder: Path | None = None) -> None:
        self._folder = folder
        self._capacity = capacity
        if folder:
            path = folder / f"{os.getpid()}-{time():.6f}.ring"
            self._slots: NDArray[np.void] = np.memmap(path, SLOT, "w+", shape=(capacity,))
        else:
            self._slots = np.zeros(capacity, SLOT)
        self._columns = [self._slots[name] for name in ("id", "row", "model", "version", "time")]
        self._pixels, self._probabilities = self._slots["pixels"], self._slots["probabilities"]
        self._next = 0

    def remember(
        self, request_id: bytes, model: str, version: int, pixels: Pixels, probabilities: Probabilities
    ) -> None:
        """Keep an answer: the first 64 digits of a larger one, lest one request push all others out."""
        ids, rows, models, versions, times = self._columns
        now, name = time(), model.encode()
        for row in range(min(len(pixels), MOST_ROWS_OF_ONE, self._capacity)):
            at = self._next
            self._next = (at + 1) % self._capacity
            ids[at] = b""  # a reader in another process never takes a half-written slot for an answer
            self._pixels[at] = pixels[row]
            self._probabilities[at] = probabilities[row]
            rows[at], models[at], versions[at], times[at] = row, name, version, now
            ids[at] = request_id

    def find(self, request_id: bytes, row: int) -> Answer | None:
        """The answer to digit `row` of a request, from whichever worker gave it; None once it has been pushed out."""
        for slots in self._rings():
            for at in np.flatnonzero((slots["id"] == request_id) & (slots["row"] == row)):
                slot = slots[at : at + 1].copy()[0]
                if slots["id"][at] == request_id:  # not overwritten while it was copied
                    return Answer(slot["model"].decode(), int(slot["version"]), slot["pixels"], slot["probabilities"])
        return None

    def window(self, model: str, version: int) -> tuple[Pixels, Probabilities]:
        """Pixels (n, 28, 28) and probabilities (n, 10) of all remembered answers of one version, over all workers."""
        found = []
        for slots in self._rings():
            here = (slots["model"] == model.encode()) & (slots["version"] == version) & (slots["id"] != b"")
            found.append(slots[here])
        answers = np.concatenate(found)
        return answers["pixels"], answers["probabilities"]

    def _rings(self) -> list[NDArray[np.void]]:
        if self._folder is None:
            return [self._slots]
        whole = self._capacity * SLOT.itemsize
        paths = [path for path in sorted(self._folder.glob("*.ring")) if path.stat().st_size == whole]
        return [np.memmap(path, SLOT, "r", shape=(self._capacity,)) for path in paths]
