"""How often runs of one version took too long, and whether it may still run. It knows no other version."""

from __future__ import annotations

from collections.abc import Callable

from service.errors import Unavailable

MAX_TIMEOUTS = 3  # runs of one version that took too long, before this process runs it no more


class RunTimeouts:
    """Counts for one loaded version.

    Args:
        name, version: of the version.
        added: called for each run that took too long.

    Attributes:
        withdrawn: whether it is out of service here.
    """

    __slots__ = ("_added", "_count", "_name", "_version", "withdrawn")

    def __init__(self, name: str, version: int, added: Callable[[], None] = lambda: None) -> None:
        self._added = added
        self._name = name
        self._version = version
        self._count = 0
        self.withdrawn = False

    def add(self) -> None:
        """One more run took too long."""
        self._count += 1
        self._added()
        self.withdrawn = self._count >= MAX_TIMEOUTS

    def reason(self) -> str:
        """Why it is out of service, as a sentence."""
        return (
            f"{self._name} version {self._version} was taken out of service: {self._count} runs took too long "
            "(DIGITS_RUN_TIMEOUT_S). Promote another version."
        )

    def check(self) -> None:
        """Raises Unavailable where the version is out of service."""
        if self.withdrawn:
            raise Unavailable(self.reason(), 5)
