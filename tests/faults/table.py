"""The table at the end of `make fault-test`."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.support.results import aligned


@dataclass
class Row:
    """What was done, and what came of it.

    Attributes:
        what: was done.
        times: how often.
        answers: right answers meanwhile.
        lost: what was acknowledged and is gone, or was refused though nothing was broken on its way.
        wrong: answers that were wrong.
        recovery_s: times until all was well again.
    """

    what: str
    times: int = 0
    answers: int = 0
    lost: int = 0
    wrong: int = 0
    recovery_s: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        recovery = f"{max(self.recovery_s):.1f} s" if self.recovery_s else "-"
        return [self.what, *map(str, (self.times, self.answers, self.lost, self.wrong)), recovery]


HEAD = ["what was done", "times", "answers", "lost", "wrong", "longest recovery"]


def table(rows: list[Row]) -> list[str]:
    """Lines of text."""
    return aligned([HEAD, *(row.cells() for row in rows)]) if rows else []


def markdown(rows: list[Row], command: str) -> str:
    """The same for the documentation, with what it was made by, when and where."""
    cells = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *(row.cells() for row in rows)]
    made = f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores"
    return "\n".join([made, "", *("| " + " | ".join(line) + " |" for line in cells), ""])
