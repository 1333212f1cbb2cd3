"""Workers that have ended: their files are removed and their counters kept as one sum, so that counters never fall.

Only the supervisor writes the sum. The sum names the files that are in it: whoever reads a file and then the sum knows
whether to count it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from service.telemetry.statistics import LAST_MS

WorkerState = dict[str, Any]

SUM = "retired.sum"
ORPHAN = "orphan-"
MAX_NAMES = 256
COUNTS = ("requests", "errors", "compared", "disagreed", "dropped")


def retired(folder: Path) -> tuple[WorkerState | None, set[str]]:
    """The sum of all workers that have ended, in the form of one worker's state, and the names of the files in it."""
    document = read(folder / SUM)
    return (document["state"], set(document["names"])) if document else (None, set())


def retire(folder: Path, pid: int, cause: str = "") -> None:
    """Add the counters of a worker that has ended to the sum and remove its files; calling it again changes nothing.

    Its ring of recent predictions is left to the worker that takes its place.

    Args:
        folder: which the workers share.
        pid: of the ended process, which has been waited for.
        cause: why it ended, counted as digits_worker_deaths; empty where it was told to.

    Raises:
        OSError: the sum cannot be written; no counter has changed.
    """
    with suppress(OSError):
        for ring in folder.glob(f"{pid}-*.ring"):
            ring.rename(folder / f"{ORPHAN}{ring.name}")
    paths = sorted(folder.glob(f"{pid}-*.json"))
    states = [state for path in paths if (state := read(path))]
    if cause:
        states.append(_empty() | {"numbers": {"events": {f"worker_deaths {cause}": [1.0]}}})
    if states:
        _add(folder, states, [path.name for path in paths])
    with suppress(OSError):  # what stays is named in the sum, and is not counted twice
        for path in [*paths, *folder.glob(f"{pid}-*.new"), *folder.glob(f"{pid}-*.socket")]:
            path.unlink(missing_ok=True)


def read(path: Path) -> WorkerState | None:
    """None where it cannot be read: it has been removed since the folder was listed, or no more files can be opened."""
    try:
        state: WorkerState = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return state


def _add(folder: Path, states: Iterable[WorkerState], names: list[str]) -> None:
    before: dict[str, Any] = {"state": _empty(), "names": []}
    with suppress(FileNotFoundError):  # any other failure must not take the sum for empty
        before = orjson.loads((folder / SUM).read_bytes())
    merged = before["state"]
    for state in states:
        merged["numbers"] = _added_numbers(merged["numbers"], state["numbers"])
        merged["trials"] = _added_trials(merged["trials"], state["trials"])
    kept = [*before["names"], *names][-MAX_NAMES:]
    temporary = folder / f"{SUM}.new"
    try:
        temporary.write_bytes(orjson.dumps({"state": merged, "names": kept}))
        temporary.replace(folder / SUM)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def add(one: Any, other: Any) -> Any:
    """The sum of two workers' numbers: lists of counts under labels, nested as Meter.snapshot has them."""
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one | other | {key: add(one[key], other[key]) for key in one.keys() & other.keys()}


def _added_numbers(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    total: dict[str, Any] = add(one, other)
    for snapshot in (one, other):  # of the statistics one number is a time, not a count
        for key, numbers in snapshot.get("statistics", {}).get("requests", {}).items():
            of_all = total["statistics"]["requests"][key]
            of_all[LAST_MS] = numbers[LAST_MS] if snapshot is one else max(numbers[LAST_MS], _last(one, key))
    return total


def _last(numbers: dict[str, Any], key: str) -> int:
    return int(numbers["statistics"]["requests"].get(key, [0])[LAST_MS])


def _added_trials(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """By model; where they are not of the same trial, the one that ended later counts."""
    found = one | other
    for name in one.keys() & other.keys():
        if one[name]["id"] == other[name]["id"]:
            found[name] = other[name] | {count: one[name][count] + other[name][count] for count in COUNTS}
    return found


def _empty() -> WorkerState:
    """Of no worker: nothing is served, waits or was counted."""
    identity = {"pid": 0, "started": 0.0, "updated": 0.0, "alive": False}
    served: dict[str, Any] = {"live": {}, "provider": "none", "queue_rows": 0, "refused": {}, "trials": {}}
    statistics: dict[str, Any] = {"requests": {}, "batches": {}}
    return identity | served | {"numbers": {"statistics": statistics}}
