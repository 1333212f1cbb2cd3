"""How often runs of one version took too long, and whether it may still run. It knows no other version."""

from __future__ import annotations

from service.errors import Unavailable

MAX_TIMEOUTS = 3  # runs of one version that took too long, before this process runs it no more


class RunTimeouts:
    """Counts for one loaded version.

    Attributes:
        withdrawn: whether it is out of service here.
    """

    __slots__ = ("_count", "_name", "_version", "withdrawn")

    def __init__(self, name: str, version: int) -> None:
        self._name = name
        self._version = version
        self._count = 0
        self.withdrawn = False

    def add(self) -> None:
        """One more run took too long."""
        self._count += 1
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
