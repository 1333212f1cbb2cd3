"""When a version whose try-out was interrupted is tried again: after a pause that doubles. It knows names and time."""

from __future__ import annotations

from time import monotonic

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 300.0

Key = tuple[str, int]  # a model's name and a version


class Retries:
    """The pauses of all versions that are to be tried again."""

    def __init__(self) -> None:
        self._pauses: dict[Key, tuple[float, float]] = {}  # when to try again, and the pause after that

    def is_due(self, name: str, version: int) -> bool:
        """Whether it may be tried now; so too what was never postponed."""
        return monotonic() >= self._pauses.get((name, version), (0.0, 0.0))[0]

    def postpone(self, name: str, version: int) -> float:
        """Seconds until the next attempt, twice as many each time."""
        pause = self._pauses.get((name, version), (0.0, FIRST_PAUSE_S))[1]
        self._pauses[name, version] = monotonic() + pause, min(2 * pause, LAST_PAUSE_S)
        return pause

    def succeeded(self, name: str, version: int) -> None:
        """The next time begins with the first pause again."""
        self._pauses.pop((name, version), None)

    def keep_only(self, names: set[str]) -> None:
        """Drop what is known of other models."""
        self._pauses = {key: value for key, value in self._pauses.items() if key[0] in names}
