"""The last predictions, in memory: feedback refers to them and drift is measured on them. Knows arrays, not HTTP.

A ring buffer of fixed size. With several workers each buffer is a memory-mapped file in a shared folder, so that any
worker finds the predictions of all.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from time import time

import numpy as np
from numpy.typing import NDArray

from service.digits import Pixels, Probabilities

log = logging.getLogger("service")

RING = ".ring"
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
ID_BYTES = 128
REST = Struct("=I64sQd784s40s")  # of a slot, behind its id: packed at once, since numpy takes longer to set each field
ID = Struct(f"={ID_BYTES}s")
MAX_ROWS_PER_REQUEST = 64


@dataclass(frozen=True)
class RecentPrediction:
    """One prediction.

    Attributes:
        model, version: which made it.
        pixels: uint8 (28, 28), as the model saw them.
        probabilities: float32 (10,).
    """

    model: str
    version: int
    pixels: Pixels
    probabilities: Probabilities


class RecentPredictions:
    """A ring buffer of the last `capacity` digits and their predictions.

    Args:
        capacity: digits to remember; about 1 kB each.
        folder: where workers share their buffers; None for a single worker.
    """

    def __init__(self, capacity: int, folder: Path | None = None) -> None:
        self._folder = folder
        self._capacity = capacity
        self._path = folder / f"{os.getpid()}-{time():.6f}{RING}" if folder else None
        self._private = False
        self._use(np.zeros(capacity, SLOT))
        self._next = 0
        self._adopt()
        self.share()

    def share(self) -> None:
        """Put the ring into the shared folder, where it is not there yet or no more; called every second.

        Where the folder has no room, the ring stays in this process's own memory, and the others do not see it.
        """
        if self._folder is None or self._path is None:
            return
        try:
            if self._path.exists():
                return
            self._use(self._created(self._folder, self._path))
        except OSError as error:
            if not self._private:
                log.warning(
                    "Feedback finds answers of this worker only through itself: no room to share them (%s)", error
                )
            self._private = True
            return
        if self._private:
            log.info("Answers of this worker are shared again")
        self._private = False

    def _adopt(self) -> None:
        """Go on with the ring of a worker that has ended, if one waits: feedback on its answers is still possible."""
        if self._folder is None or self._path is None:
            return
        for orphan in sorted(self._folder.glob(f"orphan-*{RING}")):
            with suppress(OSError, ValueError):  # another new worker was faster, or it is not of this size
                orphan.rename(self._path)
                self._use(np.memmap(self._path, SLOT, "r+", shape=(self._capacity,)))
                self._next = (int(self._slots["time"].argmax()) + 1) % self._capacity
                return

    def _created(self, folder: Path, path: Path) -> NDArray[np.void]:
        """A copy of the ring in a new file. Every page is allocated first: a page that is missing later is SIGBUS."""
        temporary = path.with_suffix(".new")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, self._capacity * SLOT.itemsize)
            slots: NDArray[np.void] = np.memmap(temporary, SLOT, "r+", shape=(self._capacity,))
            slots[:] = self._slots
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return slots

    def _use(self, slots: NDArray[np.void]) -> None:
        self._slots = slots
        self._bytes = slots.view(np.uint8).data

    def remember(
        self, request_id: bytes, model: str, version: int, pixels: Pixels, probabilities: Probabilities
    ) -> None:
        """Keep the predictions of one request: the first 64 digits, so that a large one does not displace all others.

        Args:
            request_id: the x-request-id, at most 128 bytes.
            model, version: which answered.
            pixels: uint8 (n, 28, 28).
            probabilities: float32 (n, 10).
        """
        slots, now, name = self._bytes, time(), model.encode()
        for row in range(min(len(pixels), MAX_ROWS_PER_REQUEST, self._capacity)):
            start = self._next * SLOT.itemsize
            self._next = (self._next + 1) % self._capacity
            slots[start] = 0  # no id begins so: other processes never read a half-written slot
            REST.pack_into(
                slots, start + ID_BYTES, row, name, version, now, pixels[row].tobytes(), probabilities[row].tobytes()
            )
            ID.pack_into(slots, start, request_id)

    def find(self, request_id: bytes, row: int) -> RecentPrediction | None:
        """The prediction for digit `row` of a request, by any worker; None if it was overwritten or never made.

        Of an id that a caller used twice the newest counts. No empty id is ever given.
        """
        newest: np.void | None = None
        for slots in self._rings():
            for at in np.flatnonzero((slots["id"] == request_id) & (slots["row"] == row)):
                slot = slots[at : at + 1].copy()[0]
                if slots["id"][at] == request_id and (newest is None or slot["time"] >= newest["time"]):
                    newest = slot  # not overwritten during the copy
        if newest is None:
            return None
        name, version = newest["model"].decode(), int(newest["version"])
        return RecentPrediction(name, version, newest["pixels"], newest["probabilities"])

    def window(self, model: str, version: int) -> tuple[Pixels, Probabilities]:
        """Pixels uint8 (n, 28, 28) and probabilities float32 (n, 10) that one version predicted, over all workers."""
        found = []
        for slots in self._rings():
            here = (slots["model"] == model.encode()) & (slots["version"] == version) & (slots["id"] != b"")
            found.append(slots[here])
        slots = np.concatenate(found)
        return slots["pixels"], slots["probabilities"]

    def _rings(self) -> list[NDArray[np.void]]:
        """Ours and the others', as far as they can be opened."""
        rings = [self._slots]
        paths: list[Path] = []
        with suppress(OSError):  # the folder cannot be listed now
            paths = sorted(self._folder.glob(f"*{RING}")) if self._folder else []
        for path in paths:
            if path != self._path:
                with suppress(OSError, ValueError):  # removed since the folder was listed, or not of this size
                    rings.append(np.memmap(path, SLOT, "r", shape=(self._capacity,)))
        return rings
