"""Publish, promote, roll back and end a trial, with a fault at their n-th file operation, for every n. Run with shim.c.

    python tests/faults/every_step.py FOLDER CONTROL ACTION FAULT

Prints one JSON object: how many operations there were, how the action ended each time, and what a reader saw that it
must never see.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from service.errors import DigitsError
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter

OPERATIONS = "create,write,fsync,rename,unlink,mkdir"
DONE, SENTENCE, UNEXPECTED, MOST = 0, 3, 4, 200
PLAN = RolloutPlan(2, percent=5, id="plan")


def publish(repository: RepositoryWriter) -> None:
    repository.publish("digits", lambda version: b"model %d" % version, {"classes": list("0123456789")})


def prepared(root: Path) -> RepositoryWriter:
    """Versions 1, 2 and 3; 3 was served before 1, and 2 is on trial."""
    repository = RepositoryWriter(root)
    for _ in range(3):
        publish(repository)
    repository.promote("digits", 3)
    repository.promote("digits", 1)
    repository.start_rollout("digits", PLAN)
    return repository


ACTIONS: dict[str, Callable[[RepositoryWriter], object]] = {
    "publish": publish,
    "promote": lambda repository: repository.promote("digits", 2),
    "rollback": lambda repository: repository.rollback("digits"),
    "end_rollout": lambda repository: repository.end_rollout("digits", PLAN, "promoted: so it is"),
    "prune": lambda repository: repository.prune("digits", 1),
}
Seen = tuple[int, tuple[int, ...]]


def seen(repository: RepositoryWriter) -> Seen:
    """What is served and what is published, each version read as a whole. Raises DigitsError for half a state."""
    versions = tuple(repository.versions("digits"))
    for version in versions:
        repository.model_bytes("digits", version)
    return repository.current("digits"), versions


def attempt(action: str, root: Path) -> int:
    """In a child, which a fault may kill: how it ended."""
    child = os.fork()
    if child == 0:
        try:
            ACTIONS[action](RepositoryWriter(root, lock_timeout_s=1))
            os._exit(DONE)
        except DigitsError as error:
            os._exit(SENTENCE if str(error).endswith(".") else UNEXPECTED)
        except BaseException as error:  # noqa: BLE001 - the parent is told
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(UNEXPECTED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    folder, control, action, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    template = folder / "template"
    before = seen(prepared(template))
    control.write_text("")
    shutil.copytree(template, folder / "after")
    assert attempt(action, folder / "after") == DONE
    after, ends, wrong = seen(RepositoryWriter(folder / "after")), Counter[int](), []
    for step in range(1, MOST):
        root = folder / str(step)
        shutil.copytree(template, root)
        control.write_text(f"{fault} {OPERATIONS} {step}\n")
        end = attempt(action, root)
        control.write_text("")
        ends[end] += 1
        wrong += problems(action, root, step, end, before, after)
        shutil.rmtree(root)
        if end == DONE and not wrong and step > LAST:
            break
    print(json.dumps({"ends": ends, "wrong": wrong, "steps": step}))


LAST = 40  # more than any of them has; best-effort files fail silently, so that an end without a fault proves nothing


def problems(action: str, root: Path, step: int, end: int, before: Seen, after: Seen) -> list[str]:
    """Half a state, an unexpected end, or a repository that cannot be written any more."""
    repository, found = RepositoryWriter(root), []
    try:
        now = seen(repository)
        if now[0] not in (before[0], after[0]) or (action != "prune" and now[1] not in (before[1], after[1])):
            found.append(f"step {step}: {now}")
        if end == DONE and now != after:
            found.append(f"step {step}: said to be done, and is not: {now}")
        if action not in ("publish", "rollback"):
            ACTIONS[action](repository)
            if seen(repository) != after:
                found.append(f"step {step}: again: {seen(repository)}")
        publish(repository)
    except DigitsError as error:
        found.append(f"step {step}: {error}")
    return found + ([f"step {step}: ended with {end}"] if end not in (DONE, SENTENCE, -9) else [])


if __name__ == "__main__":
    main()
