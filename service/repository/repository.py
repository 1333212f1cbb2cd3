"""The model repository on disk: versions, cards, which one is served. It knows files, and nothing of ONNX or HTTP.

models/<name>/<version>/model.onnx   never rewritten once published
models/<name>/<version>/card.json    what the model is, with the SHA-256 of model.onnx
models/<name>/current                the served version: one whole number, replaced atomically
models/<name>/previous               versions served before, newest first: what rollback walks back along
models/<name>/trial.json             the version on trial beside it, if there is one (plan.py)
models/<name>/last_trial.json        how the last trial ended
models/<name>/config.pbtxt           what Triton must know to serve the same version from this folder (triton.py)
models/<name>/labels.txt             names of the classes, for Triton
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from service.errors import Conflict, DigitsError, InvalidValue, ModelBroken, NoSuchModel
from service.repository.files import flush, listing, replace, write
from service.repository.rollout_plan import RolloutPlan
from service.repository.triton_config import CONFIG_FILE, LABELS_FILE, as_pbtxt, config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"

Card = dict[str, Any]


class Repository:
    """A folder of models. Any number of processes may read it while others publish and promote.

    Args:
        root: the folder that holds one folder a model; it need not exist until something is published.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    # -- reading --------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of all models that have at least one complete version, sorted."""
        return sorted(name for name in listing(self.root) if NAME.fullmatch(name) and self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Versions of `name` with both files in place, ascending; empty for a name that does not exist."""
        if not NAME.fullmatch(name):
            return []
        folder = self.root / name
        found = (int(entry) for entry in listing(folder) if VERSION.fullmatch(entry))
        return sorted(v for v in found if all((folder / str(v) / f).is_file() for f in (MODEL_FILE, CARD_FILE)))

    def current(self, name: str) -> int:
        """The version to serve.

        Raises:
            NoSuchModel: nothing of that name was ever promoted.
            ModelBroken: `current` does not hold a whole number.
        """
        self._check_name(name)
        try:
            text = (self.root / name / "current").read_text().strip()
        except FileNotFoundError:
            raise NoSuchModel(self._nothing_served(name)) from None
        except (OSError, UnicodeDecodeError):
            raise ModelBroken(f"The file {name}/current cannot be read; check its permissions.") from None
        if not VERSION.fullmatch(text):
            raise ModelBroken(f"The file {name}/current must hold one version number, and holds {text[:20]!r}.")
        return int(text)

    def labels(self, name: str) -> dict[str, int]:
        """Versions that have a name: `stable` is the served one, `canary` the one on trial, but for a shadow."""
        plan = self.rollout(name)
        named = {"stable": self._served(name), "canary": plan.version if plan and not plan.shadow else None}
        return {label: version for label, version in named.items() if version}

    def card(self, name: str, version: int) -> Card:
        """The card of one version, as parsed JSON.

        Raises:
            NoSuchModel: there is no such version.
            ModelBroken: the card is not a JSON object, or cannot be read.
        """
        path = self._folder(name, version) / CARD_FILE
        try:
            card = json.loads(path.read_bytes(), parse_constant=_no_constant)
        except FileNotFoundError:
            raise ModelBroken(f"Version {version} of {name} has no {CARD_FILE}; publish it again.") from None
        except (OSError, ValueError, RecursionError):
            raise ModelBroken(f"The {CARD_FILE} of {name} version {version} cannot be read as JSON.") from None
        if not isinstance(card, dict):
            raise ModelBroken(f"The {CARD_FILE} of {name} version {version} is not a JSON object.")
        return card

    def model_path(self, name: str, version: int) -> Path:
        """Path of the version's model.onnx. Raises NoSuchModel where there is no such version."""
        return self._folder(name, version) / MODEL_FILE

    def model_bytes(self, name: str, version: int) -> bytes:
        """The bytes of model.onnx, checked against the SHA-256 on the card: no half-written file gets past this.

        Raises:
            NoSuchModel: there is no such version.
            ModelBroken: the file is missing, unreadable, or not the one the card describes.
        """
        card = self.card(name, version)
        try:
            data = self.model_path(name, version).read_bytes()
        except FileNotFoundError:
            raise ModelBroken(f"Version {version} of {name} has no {MODEL_FILE}; publish it again.") from None
        except OSError:
            raise ModelBroken(f"The {MODEL_FILE} of {name} version {version} cannot be read.") from None
        if sha256(data).hexdigest() != card.get("sha256"):
            raise ModelBroken(
                f"The {MODEL_FILE} of {name} version {version} is not the file its card describes "
                "(SHA-256 differs); publish it again as a new version."
            )
        return data

    def signature(self, name: str, version: int) -> tuple[Any, ...]:
        """Changes whenever the version's files do; compares equal while they stay as they are."""
        folder = self.root / name / str(version)
        paths = (self.root / name / "current", folder, folder / MODEL_FILE, folder / CARD_FILE)
        return tuple(map(_stat, paths))

    # -- writing --------------------------------------------------------------------------------------------

    def publish(self, name: str, onnx_for: Callable[[int], bytes], card: Card) -> int:
        """Add a version, whole or not at all, and return its number. Nothing is promoted.

        Args:
            name: the model's name: letters, digits, - and _.
            onnx_for: called with the version number, returns the ONNX file's bytes (the number stands inside).
            card: what the model is; `name`, `version`, `created` and `sha256` are added.
        """
        self._check_name(name)
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock(name):
            version = max((int(e) for e in listing(folder) if VERSION.fullmatch(e)), default=0) + 1
            data = onnx_for(version)
            described = {
                "name": name,
                "version": version,
                "created": _now(),
                "sha256": sha256(data).hexdigest(),
            } | {k: v for k, v in card.items() if k not in ("name", "version", "created", "sha256")}
            text = json.dumps(described, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            self._place(folder, version, {MODEL_FILE: data, CARD_FILE: text.encode()})
            self._tell_triton(name)
        return version

    def promote(self, name: str, version: int) -> None:
        """Make `version` the served one. Raises NoSuchModel where it is not published."""
        if version not in self.versions(name):
            self._folder(name, version)
            raise ModelBroken(f"Version {version} of {name} is not complete; publish it again.")
        with self._lock(name):
            self._promote(name, version)

    def rollback(self, name: str) -> int:
        """Serve the version that was served before the current one, and return its number.

        Raises:
            NoSuchModel: no earlier version is left to go back to.
        """
        self._check_name(name)
        if not self.versions(name):
            raise NoSuchModel(self._nothing_served(name))
        with self._lock(name):
            served = self._served(name)
            complete = set(self.versions(name))
            earlier = [v for v in self._previous(name) if v in complete]
            while earlier and earlier[0] == served:  # what a kill between two writes, or pruning, left
                earlier.pop(0)
            if not earlier:
                raise NoSuchModel(f"No version of {name} was served before the current one; promote one by number.")
            replace(self.root / name / "current", f"{earlier[0]}\n".encode())
            self._write_previous(name, earlier[1:])
            self._tell_triton(name)
        return earlier[0]

    def prune(self, name: str, keep: int) -> list[int]:
        """Remove all but the newest `keep` versions, never the served one nor the one on trial; return the removed."""
        if keep < 1:
            raise InvalidValue("Keep at least one version.", "keep")
        self._check_name(name)
        with self._lock(name):
            plan = self.rollout(name)
            spared = {self._served(name), plan.version if plan else None, *self.versions(name)[-keep:]}
            removed = [version for version in self.versions(name) if version not in spared]
            for version in removed:  # renamed first: a reader sees the whole version or none
                gone = self.root / name / f".removing-{version}-{secrets.token_hex(4)}"
                (self.root / name / str(version)).rename(gone)
                shutil.rmtree(gone)
            self._write_previous(name, [v for v in self._previous(name) if v not in removed])
        return removed

    # -- trials ---------------------------------------------------------------------------------------------

    def rollout(self, name: str) -> RolloutPlan | None:
        """The plan of the trial that runs, if one does and can be read."""
        try:
            return RolloutPlan.from_json((self.root / name / "trial.json").read_bytes())
        except (OSError, ValueError, TypeError):
            return None

    def start_rollout(self, name: str, plan: RolloutPlan) -> None:
        """Try a version beside the served one; replaces a trial that runs. Raises NoSuchModel."""
        self._folder(name, plan.version)
        if self.current(name) == plan.version:
            raise InvalidValue(f"Version {plan.version} of {name} is the served one; try another.", "version")
        with self._lock(name):
            replace(self.root / name / "trial.json", plan.to_json())

    def end_rollout(self, name: str, plan: RolloutPlan, verdict: str) -> bool:
        """End this trial and act on the verdict; False where another process did so first."""
        with self._lock(name):
            running = self.rollout(name)
            if running is None or running.id != plan.id:
                return False
            ended = {"version": plan.version, "verdict": verdict, "ended": _now()}
            replace(self.root / name / "last_trial.json", json.dumps(ended).encode() + b"\n")
            if verdict.startswith("promoted"):
                self._promote(name, plan.version)
            (self.root / name / "trial.json").unlink()
        return True

    def last_rollout(self, name: str) -> dict[str, Any] | None:
        """How the last trial ended: version, verdict, time."""
        try:
            return dict(json.loads((self.root / name / "last_trial.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    # -- within ---------------------------------------------------------------------------------------------

    def _folder(self, name: str, version: int) -> Path:
        self._check_name(name)
        folder = self.root / name / str(version)
        if version < 1 or not folder.is_dir():
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise NoSuchModel(f"There is no version {version} of {name}; published versions: {known}.")
        return folder

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise NoSuchModel("There is no model of that name; a name is letters, digits, - and _, 64 at most.")

    def _nothing_served(self, name: str) -> str:
        if versions := self.versions(name):
            return (
                f"No version of {name} is promoted, though {', '.join(map(str, versions))} "
                f"can be: python -m training promote {versions[-1]}"
            )
        return f"There is no model named {name}; train and publish one with: python -m training retrain"

    def _promote(self, name: str, version: int) -> None:
        served = self._served(name)
        if served == version:
            return
        if served:  # `previous` first: a kill between the two leaves an entry equal to `current`, which is skipped
            self._write_previous(name, [served, *self._previous(name)])
        replace(self.root / name / "current", f"{version}\n".encode())
        self._tell_triton(name)

    def _tell_triton(self, name: str) -> None:
        """Have Triton serve what we serve, or the newest version while none is promoted. Never worth a failure."""
        with suppress(DigitsError, OSError, KeyError, TypeError):
            version = self._served(name) or self.versions(name)[-1]
            card = self.card(name, version)
            labels = [str(label) for label in card.get("classes", [])]
            outputs = [output["name"] for output in card.get("outputs", [])]
            if labels:
                self._renew(name, LABELS_FILE, "".join(f"{label}\n" for label in labels))
            self._renew(name, CONFIG_FILE, as_pbtxt(config(name, [version], outputs, bool(labels))))

    def _renew(self, name: str, file: str, text: str) -> None:
        """Write a file unless it says so already: Triton loads a model anew when its files change."""
        path = self.root / name / file
        if not path.is_file() or path.read_text() != text:
            replace(path, text.encode())

    def _served(self, name: str) -> int | None:
        try:
            return self.current(name)
        except (NoSuchModel, ModelBroken):
            return None

    def _previous(self, name: str) -> list[int]:
        try:
            words = (self.root / name / "previous").read_text().split()
        except (OSError, UnicodeDecodeError):
            return []
        return [int(word) for word in words if VERSION.fullmatch(word)]

    def _write_previous(self, name: str, versions: list[int]) -> None:
        replace(self.root / name / "previous", "".join(f"{v}\n" for v in versions[:100]).encode())

    def _place(self, folder: Path, version: int, files: dict[str, bytes]) -> None:
        """Write beside, flush to disk, rename into place: a reader sees the whole version or none."""
        for left in listing(folder):  # whoever left it was killed: we hold the lock
            if left.startswith((".publishing-", ".removing-")):
                shutil.rmtree(folder / left, ignore_errors=True)
        beside = folder / f".publishing-{version}-{secrets.token_hex(4)}"
        beside.mkdir()
        try:
            for file, data in files.items():
                write(beside / file, data)
            flush(beside)
            beside.rename(folder / str(version))
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        flush(folder)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """One writer at a time for each model; readers never wait. The kernel drops it if the holder dies."""
        try:
            lock = open(self.root / name / ".lock", "w")  # noqa: SIM115 - closed below; this is about opening alone
        except OSError as error:
            raise Conflict(
                f"The folder of {name} cannot be written to here ({error.strerror}): make it writable for this user, "
                "or change it from where it is: python -m training promote."
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
