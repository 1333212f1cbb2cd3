"""What the repository holds at one moment, read in one go: of one model for the watcher, of all models for a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.errors import DigitsError, NoSuchModel, Unavailable
from service.repository.files import RETRY_AFTER_S
from service.repository.listing import may_be_folder
from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One model.

    Attributes:
        current: the promoted version; None where there is none, and `error` says why.
        is_unpromoted: versions are published, and none was ever promoted.
        signature: compares equal while `current` and the files of that version are unchanged.
        plan: of the running rollout.
        rollout_is_over: there surely is none; False also where that cannot be read.
    """

    current: int | None
    error: str
    is_unpromoted: bool
    signature: tuple[Any, ...]
    plan: RolloutPlan | None
    rollout_is_over: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What is published of one model.

    Attributes:
        versions: complete versions, ascending.
        current: the promoted one; None where there is none, or where that cannot be read.
        labels: `stable` and, while a canary runs, `canary`, each with its version.
        trouble: what cannot be read, or why the folder is ignored; empty where all is well.
    """

    versions: list[int] = field(default_factory=list)
    current: int | None = None
    labels: dict[str, int] = field(default_factory=dict)
    trouble: str = ""


def names_and_troubles(repository: Repository) -> tuple[list[str], dict[str, str]]:
    """All models, and what cannot be read.

    Raises:
        Unavailable: the folder of models cannot be read, or is not there.
    """
    names, troubles = repository.names(), repository.troubles()
    if not names and not may_be_folder(repository.root):
        raise Unavailable("The models folder is not there.", RETRY_AFTER_S)
    return names, troubles


def published(repository: Repository) -> dict[str, Published]:
    """All models by name, and also folders that cannot be read or are ignored.

    Raises:
        Unavailable: the folder of models cannot be read, or is not there.
    """
    names, troubles = names_and_troubles(repository)
    return {name: _published(repository, name, troubles.get(name, "")) for name in sorted({*names, *troubles})}


def _published(repository: Repository, name: str, trouble: str) -> Published:
    try:
        current, labels = repository.current(name), repository.labels(name)
    except NoSuchModel:
        return Published(repository.versions(name), trouble=trouble)
    except DigitsError as error:
        return Published(repository.versions(name), trouble=trouble or str(error))
    return Published(repository.versions(name), current, labels, trouble)


def snapshot(repository: Repository, name: str) -> Snapshot:
    """What the repository holds of this model now."""
    plan = repository.rollout(name)
    is_over = plan is None and repository.rollout_is_over(name)
    try:
        current = repository.current(name)
    except DigitsError as error:
        is_unpromoted = isinstance(error, NoSuchModel) and bool(repository.versions(name))
        return Snapshot(None, str(error), is_unpromoted, (), plan, is_over)
    return Snapshot(current, "", False, repository.signature(name, current), plan, is_over)
