"""What the repository holds of one model at one moment: all that the watcher looks at, read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.errors import DigitsError
from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One model.

    Attributes:
        current: the promoted version; None where there is none, and `error` says why.
        signature: compares equal while `current` and the files of that version are unchanged.
        plan: of the running rollout.
        rollout_is_over: there surely is none; False also where that cannot be read.
    """

    current: int | None
    error: str
    signature: tuple[Any, ...]
    plan: RolloutPlan | None
    rollout_is_over: bool


def names_and_troubles(repository: Repository) -> tuple[list[str], dict[str, str]]:
    """All models, and what cannot be read. Raises Unavailable where the folder of models cannot be read."""
    return repository.names(), repository.troubles()


def snapshot(repository: Repository, name: str) -> Snapshot:
    """What the repository holds of this model now."""
    plan = repository.rollout(name)
    is_over = plan is None and repository.rollout_is_over(name)
    try:
        current = repository.current(name)
    except DigitsError as error:
        return Snapshot(None, str(error), (), plan, is_over)
    return Snapshot(current, "", repository.signature(name, current), plan, is_over)
