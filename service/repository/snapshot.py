"""What the repository holds of one model at one moment, read in one go."""

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
        versions: complete versions, ascending.
        trouble: what of its folder cannot be read, or why it is ignored; empty where all is well.
        current: the promoted version; None where there is none, and `error` says why.
        signature: compares equal while `current` and the files of that version are unchanged.
        plan: of the running rollout.
        rollout_is_over: there surely is none; False also where that cannot be read.
    """

    versions: list[int] = field(default_factory=list)
    trouble: str = ""
    current: int | None = None
    error: str = ""
    signature: tuple[Any, ...] = ()
    plan: RolloutPlan | None = None
    rollout_is_over: bool = False

    @property
    def is_model(self) -> bool:
        """Whether there is something to tell of: a version, a promotion, or a trouble."""
        return bool(self.versions or self.trouble or self.current)

    @property
    def labels(self) -> dict[str, int]:
        """As Repository.labels."""
        named = {"stable": self.current, "canary": self.plan.version if self.plan and not self.plan.shadow else None}
        return {label: version for label, version in named.items() if version}


def entries(repository: Repository) -> list[str]:
    """What the folder of models holds: each may be a model.

    Raises:
        Unavailable: the folder cannot be read, or is not there.
    """
    found = repository.entries()
    if not found and not may_be_folder(repository.root):
        raise Unavailable("The models folder is not there.", RETRY_AFTER_S)
    return found


def snapshot(repository: Repository, name: str) -> Snapshot:
    """What the repository holds of this model now."""
    versions, trouble = repository.versions_and_trouble(name)
    try:
        current = repository.current(name)
    except NoSuchModel as error:
        plan = repository.rollout(name) if versions else None
        return Snapshot(versions, trouble, error=str(error), plan=plan)
    except DigitsError as error:
        return Snapshot(versions, trouble or str(error), error=str(error))
    plan = repository.rollout(name)
    is_over = plan is None and repository.rollout_is_over(name)
    return Snapshot(versions, trouble, current, "", repository.signature(name, current), plan, is_over)
