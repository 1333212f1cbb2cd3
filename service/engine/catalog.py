"""All models that are published, read model by model: a slow folder with many models needs long, and no call does."""

from __future__ import annotations

from service.repository.repository import Repository
from service.repository.snapshot import Snapshot, entries, snapshot
from service.repository.volume import Volume


async def catalog(repository: Repository, volume: Volume) -> dict[str, Snapshot]:
    """Every model by its name, and folders that cannot be read or are ignored.

    Raises:
        Unavailable: the models folder does not answer.
    """
    names = await volume.call(entries, repository)
    found = {name: await volume.call(snapshot, repository, name) for name in names}
    return {name: model for name, model in found.items() if model.is_model}
