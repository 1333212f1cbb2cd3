"""Change the model repository: publish, promote, roll back, prune, rollouts. Readers need only repository.py.

One process at a time writes each model, under a file lock. Each file and each version is written under a temporary
name, flushed to disk and renamed, so that a reader sees the old state or the new one, whenever the writer is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

from service.errors import Conflict, DigitsError, InvalidValue, ModelBroken, NoSuchModel
from service.repository.card import Card
from service.repository.files import flush, listing, replace, write
from service.repository.listing import CARD_FILE, MODEL_FILE, VERSION
from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan
from service.repository.triton_config import CONFIG_FILE, LABELS_FILE, as_pbtxt, config

MAX_PREVIOUS = 100
LOCK_TIMEOUT_S, LOCK_POLL_S = 60.0, 0.02
# NFS locks only what is open for writing; a link or a named pipe must neither be followed nor waited for
LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RepositoryWriter(Repository):
    """A folder of models, for reading and writing. Any number of processes may use it at once.

    Args:
        root: the folder that holds one subfolder per model.
        lock_timeout_s: how long to wait for another process that writes the same model.

    Raises Conflict from every method that writes, if the folder of the model is not writable.
    """

    def __init__(self, root: Path, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        super().__init__(root)
        self._lock_timeout_s = lock_timeout_s

    def publish(self, name: str, onnx_for: Callable[[int], bytes], card: Card) -> int:
        """Add a version atomically and return its number. It is not promoted.

        Args:
            name: the model's name: letters, digits, - and _.
            onnx_for: called with the version number, returns the bytes of the ONNX file, which carries that number.
            card: description of the model; `name`, `version`, `created` and `sha256` are set here.

        Raises:
            NoSuchModel: `name` is not a valid model name.
            ValueError: the card cannot be written as JSON.
        """
        self._check_name(name)
        folder = self.root / name
        with self._lock(name):
            version = max((int(entry) for entry in os.listdir(folder) if VERSION.fullmatch(entry)), default=0) + 1
            data = onnx_for(version)
            ours = {"name": name, "version": version, "created": _now(), "sha256": sha256(data).hexdigest()}
            text = json.dumps(ours | card | ours, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            self._place(folder, version, {MODEL_FILE: data, CARD_FILE: text.encode()})
            self._write_triton_config(name)
        return version

    def promote(self, name: str, version: int) -> None:
        """Make `version` the served one.

        Raises:
            NoSuchModel: the version does not exist.
            ModelBroken: its model or its card is missing.
        """
        if version not in self.versions(name):
            self._folder(name, version)
            raise ModelBroken(f"Version {version} of {name} is not complete; publish it again.")
        with self._lock(name):
            self._promote(name, version)

    def rollback(self, name: str) -> int:
        """Serve the previously served version, and return its number.

        Raises:
            NoSuchModel: there is no previously served version.
        """
        self._check_name(name)
        if not self.versions(name):
            raise NoSuchModel(self._nothing_served(name))
        with self._lock(name):
            served = self._served(name)
            complete = set(self.versions(name))
            earlier = [v for v in self._previous(name) if v in complete]
            while earlier and earlier[0] == served:  # left by pruning, or by a process killed between two writes
                earlier.pop(0)
            if not earlier:
                raise NoSuchModel(f"No version of {name} was served before the current one; promote one by number.")
            replace(self.root / name / "current", f"{earlier[0]}\n".encode())
            self._write_previous(name, earlier[1:])
            self._write_triton_config(name)
        return earlier[0]

    def prune(self, name: str, keep: int) -> list[int]:
        """Remove old versions and return their numbers, ascending.

        The newest `keep` versions, the served version and the version of a running rollout are kept.

        Raises:
            NoSuchModel: `name` is not a valid model name.
            InvalidValue: `keep` is below 1.
        """
        if keep < 1:
            raise InvalidValue("Keep at least one version.", "keep")
        self._check_name(name)
        with self._lock(name):
            plan = self.rollout(name)
            spared = {self._served(name), plan.version if plan else None, *self.versions(name)[-keep:]}
            removed = [version for version in self.versions(name) if version not in spared]
            for version in removed:
                self._remove(self.root / name, version)
            self._write_previous(name, [v for v in self._previous(name) if v not in removed])
        return removed

    def start_rollout(self, name: str, plan: RolloutPlan) -> None:
        """Start a canary or shadow rollout; replaces a running one.

        Raises:
            NoSuchModel: the version does not exist, or no version is served.
            InvalidValue: the version is the served one.
        """
        self._folder(name, plan.version)
        if self.current(name) == plan.version:
            raise InvalidValue(f"Version {plan.version} of {name} is the served one; try another.", "version")
        with self._lock(name):
            replace(self.root / name / "trial.json", plan.to_json())

    def end_rollout(self, name: str, plan: RolloutPlan, verdict: str) -> bool:
        """End this rollout and promote its version if `verdict` says so; False if another process ended it first."""
        with self._lock(name):
            running = self.rollout(name)
            if running is None or running.id != plan.id:
                return False
            ended = {"id": plan.id, "version": plan.version, "verdict": verdict, "ended": _now()}
            if verdict.startswith("promoted"):
                self._promote(name, plan.version)
            replace(self.root / name / "last_trial.json", json.dumps(ended).encode() + b"\n")
            (self.root / name / "trial.json").unlink()
        return True

    def _promote(self, name: str, version: int) -> None:
        """Under the lock."""
        served = self._served(name)
        if served == version:
            return
        if served:  # `previous` first: if killed in between, its first entry equals `current`, and rollback skips it
            self._write_previous(name, [served, *self._previous(name)])
        replace(self.root / name / "current", f"{version}\n".encode())
        self._write_triton_config(name)

    def _write_triton_config(self, name: str) -> None:
        """Make Triton serve our served version, or the newest if none is promoted. Best effort: errors are ignored."""
        with suppress(DigitsError, OSError, KeyError, TypeError):
            version = self._served(name) or self.versions(name)[-1]
            card = self.card(name, version)
            labels = [str(label) for label in card.get("classes", [])]
            outputs = [output["name"] for output in card.get("outputs", [])]
            if labels:
                self._write_if_changed(name, LABELS_FILE, "".join(f"{label}\n" for label in labels))
            self._write_if_changed(name, CONFIG_FILE, as_pbtxt(config(name, [version], outputs, bool(labels))))

    def _write_if_changed(self, name: str, file: str, text: str) -> None:
        """Triton reloads a model whenever one of its files is rewritten."""
        path, found = self.root / name / file, None
        with suppress(OSError):
            found = self._read(path)
        if found != text.encode():
            replace(path, text.encode())

    def _write_previous(self, name: str, versions: list[int]) -> None:
        replace(self.root / name / "previous", "".join(f"{v}\n" for v in versions[:MAX_PREVIOUS]).encode())

    def _place(self, folder: Path, version: int, files: dict[str, bytes]) -> None:
        """Write to a temporary folder, flush to disk, rename: a reader sees the whole version or none."""
        for left in listing(folder):  # left by a killed process, since this one holds the lock
            if left.startswith((".publishing-", ".removing-")):
                shutil.rmtree(folder / left, ignore_errors=True)
        temporary = folder / f".publishing-{version}-{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            for file, data in files.items():
                write(temporary / file, data)
            flush(temporary)
            temporary.rename(folder / str(version))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        flush(folder)

    def _remove(self, folder: Path, version: int) -> None:
        """Renamed first: a reader sees the whole version or none."""
        removing = folder / f".removing-{version}-{secrets.token_hex(4)}"
        (folder / str(version)).rename(removing)
        shutil.rmtree(removing)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """One writer at a time per model; readers never wait. The kernel releases the lock if its holder dies."""
        try:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / name / ".lock", LOCK_FLAGS, 0o666)
        except OSError as error:
            raise Conflict(
                f"The folder of {name} cannot be written to here ({error.strerror}): make it writable for this user, "
                "or promote on a machine where it is: python -m training promote."
            ) from None
        try:
            _wait_for(lock, name, self._lock_timeout_s)
            yield
        except OSError as error:  # what was written so far is whole: see `replace` and `_place`
            raise Conflict(
                f"The folder of {name} cannot be written to ({error.strerror}). Readers see the old state or the "
                "new one, never half of it. Make room or make it writable, and do it again."
            ) from error
        finally:
            os.close(lock)


def _wait_for(lock: int, name: str, timeout_s: float) -> None:
    """The kernel's lock on a file; not for ever, since its holder may hang. Raises Conflict."""
    deadline = monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                raise Conflict(f"Another process is writing {name} since {timeout_s:g} s; try again.") from None
            sleep(LOCK_POLL_S)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
