"""The table at the end of `make fuzz`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.support.results import aligned

HEAD = ["what was sent", "cases", "2xx", "4xx", "503", "closed", "longest pause", "memory"]


@dataclass
class Row:
    """What was sent, and what came of it.

    Attributes:
        what: was sent.
        seen: how often each outcome came: "2xx", "4xx", "503", "closed"; other words are counted as cases only.
        pause_s: the longest pause of the event loop that came again when the case was repeated, or 0.
        grown_mib: what the service's resident memory grew by during the second half, or None if it was not measured.
    """

    what: str
    seen: Counter[str] = field(default_factory=Counter)
    pause_s: float = 0.0
    grown_mib: float | None = None

    def cells(self) -> list[str]:
        memory = "-" if self.grown_mib is None else f"{self.grown_mib:+.1f} MiB"
        counts = [str(self.seen[outcome]) for outcome in ("2xx", "4xx", "503", "closed")]
        pause = f"{self.pause_s * 1e3:.0f} ms" if self.pause_s else "-"
        return [self.what, str(self.seen.total()), *counts, pause, memory]


def table(rows: list[Row], seed: int) -> list[str]:
    """Lines of text."""
    if not rows:
        return []
    total = f"all, by seed {seed}"
    count = str(sum(row.seen.total() for row in rows))
    return aligned([HEAD, *(row.cells() for row in rows), [total, count, *[""] * (len(HEAD) - 2)]])
