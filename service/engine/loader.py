"""Loads a version that is to be served: first in a process of its own, then in this one."""

from __future__ import annotations

from service.engine.engine import Engine
from service.engine.validation import check
from service.engine.version import LoadedVersion
from service.errors import ModelBroken, Unavailable
from service.repository.volume import Volume

LOAD_S = 60.0  # for reading a model file and making its session
RETRY_AFTER_S = 5


class Loader:
    """Loads versions for one engine.

    Args:
        engine: whose models they are.
        volume: makes the file calls.
    """

    def __init__(self, engine: Engine, volume: Volume) -> None:
        self._engine = engine
        self._volume = volume

    async def load(self, name: str, version: int) -> LoadedVersion:
        """A version that passed its try-out.

        Raises:
            NoSuchModel, ModelBroken: it must not be served.
            Unavailable: the try-out was interrupted, or this process failed to load what had passed it. Try again.
        """
        engine = self._engine
        tried = await check(engine.repository.root, name, version, engine.settings.allowed_operators)
        try:
            return await self._volume.call(engine.load, name, version, tried, timeout_s=LOAD_S)
        except ModelBroken as error:  # the same bytes have just passed: memory may be short, or the file was replaced
            raise Unavailable(str(error), RETRY_AFTER_S) from error
