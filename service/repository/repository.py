"""Read the model repository on disk: versions, cards, which version is served. Knows files, not ONNX or HTTP.

models/<name>/<version>/model.onnx   never rewritten once published
models/<name>/<version>/card.json    description of the model, with the SHA-256 of model.onnx
models/<name>/current                the served version: one integer, replaced atomically
models/<name>/previous               versions served before, newest first; rollback goes back along this list
models/<name>/trial.json             the running rollout (canary or shadow), if any (rollout_plan.py)
models/<name>/last_trial.json        result of the last rollout
models/<name>/config.pbtxt           configuration with which Triton serves the same version (triton_config.py)
models/<name>/labels.txt             class names, for Triton

Only writer.py changes these files.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from service.errors import ModelBroken, NoSuchModel, Unavailable
from service.repository.bounded_file import MAX_CARD_BYTES, MAX_MODEL_BYTES, read_file, reason
from service.repository.card import Card, parse_card
from service.repository.files import RETRY_AFTER_S, identity, is_folder, passing_failures
from service.repository.listing import CARD_FILE, MODEL_FILE, VERSION, may_be_folder, versions_and_troubles
from service.repository.rollout_plan import RolloutPlan

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NAME_RULE = "a name is letters, digits, - and _, 64 at most"


class Repository:
    """A folder of models, for reading. Any number of processes may read while others publish and promote.

    Args:
        root: the folder that holds one subfolder per model; it need not exist until a model is published.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        """Names of all models that have at least one complete version, sorted.

        Raises:
            Unavailable: the folder of models cannot be read.
        """
        return sorted(name for name in self.entries() if NAME.fullmatch(name) and self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Complete versions of `name` (model and card are there), ascending; empty for an unknown name.

        A version that cannot be read is left out; `versions_and_trouble` names it.
        """
        return self.versions_and_trouble(name)[0]

    def versions_and_trouble(self, name: str) -> tuple[list[int], str]:
        """Complete versions of `name`, and what in its folder cannot be read, or why it is ignored; else empty."""
        if NAME.fullmatch(name):
            versions, troubles = versions_and_troubles(self.root / name)
            return versions, " ".join(troubles)
        if name in (".", "..") or "/" in name or "\0" in name or not may_be_folder(self.root / name):
            return [], ""
        return [], f"The folder {name[:64]!r} is ignored: {NAME_RULE}. Rename it."

    def entries(self) -> list[str]:
        """What the folder of models holds, hidden files left out, sorted; empty where it does not exist.

        Raises:
            Unavailable: the folder cannot be read.
        """
        try:
            return sorted(entry for entry in os.listdir(self.root) if not entry.startswith((".", "@")))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"The models folder cannot be read ({error.strerror}).", RETRY_AFTER_S) from None

    def current(self, name: str) -> int:
        """The version to serve.

        Raises:
            NoSuchModel: no version of `name` was ever promoted.
            ModelBroken: `current` does not hold an integer, or must not be read.
            Unavailable: it cannot be read now.
        """
        self._check_name(name)
        try:
            with passing_failures(f"The file {name}/current"):
                text = self._read(self.root / name / "current").decode().strip()
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchModel(self._nothing_served(name)) from None
        except (OSError, UnicodeDecodeError):
            raise ModelBroken(f"The file {name}/current cannot be read; check its permissions.") from None
        if not VERSION.fullmatch(text):
            raise ModelBroken(f"The file {name}/current must hold one version number, and holds {text[:20]!r}.")
        return int(text)

    def labels(self, name: str) -> dict[str, int]:
        """Version labels: `stable` is the served version, `canary` the canary's version while one runs (no shadow)."""
        plan = self.rollout(name)
        named = {"stable": self._served(name), "canary": plan.version if plan and not plan.shadow else None}
        return {label: version for label, version in named.items() if version}

    def card(self, name: str, version: int) -> Card:
        """The card of one version, as parsed JSON.

        Raises:
            NoSuchModel: the version does not exist.
            ModelBroken: the card cannot be read, is a link out of the repository, or not a JSON object that can be
                written back as JSON.
            Unavailable: it cannot be read now.
        """
        path = self._folder(name, version) / CARD_FILE
        try:
            with passing_failures(f"The {CARD_FILE} of {name} version {version}"):
                return parse_card(self._read(path))
        except FileNotFoundError:
            raise ModelBroken(f"Version {version} of {name} has no {CARD_FILE}; publish it again.") from None
        except (OSError, ValueError) as error:
            why = reason(error)
            raise ModelBroken(f"The {CARD_FILE} of {name} version {version} cannot be read: {why}.") from None

    def model_path(self, name: str, version: int) -> Path:
        """Path of the version's model.onnx. Raises NoSuchModel if the version does not exist."""
        return self._folder(name, version) / MODEL_FILE

    def model_bytes(self, name: str, version: int) -> bytes:
        """The bytes of model.onnx, verified against the SHA-256 in the card, so that a partial file is never loaded.

        Raises:
            NoSuchModel: the version does not exist.
            ModelBroken: the file is missing or unreadable, or its SHA-256 is not that of the card.
            Unavailable: it cannot be read now.
        """
        card = self.card(name, version)
        try:
            with passing_failures(f"The {MODEL_FILE} of {name} version {version}"):
                data = read_file(self.root, self.model_path(name, version), MAX_MODEL_BYTES)
        except FileNotFoundError:
            raise ModelBroken(f"Version {version} of {name} has no {MODEL_FILE}; publish it again.") from None
        except OSError as error:
            why = reason(error)
            raise ModelBroken(f"The {MODEL_FILE} of {name} version {version} cannot be read: {why}.") from None
        if sha256(data).hexdigest() != card.get("sha256"):
            raise ModelBroken(
                f"The {MODEL_FILE} of {name} version {version} is not the file its card describes "
                "(SHA-256 differs); publish it again as a new version."
            )
        return data

    def signature(self, name: str, version: int) -> tuple[Any, ...]:
        """Compares equal while `current` and the version's files are unchanged (inode, size and times)."""
        folder = self.root / name / str(version)
        paths = (self.root / name / "current", folder, folder / MODEL_FILE, folder / CARD_FILE)
        return tuple(map(identity, paths))

    def rollout(self, name: str) -> RolloutPlan | None:
        """The plan of the running rollout; None if there is none or its file cannot be read.

        A rollout is over once its verdict is written, even if the writer was killed before it removed the plan.
        """
        try:
            plan = RolloutPlan.from_json(self._read(self.root / name / "trial.json"))
        except (OSError, ValueError, TypeError):
            return None
        return None if plan.has_ended(self.last_rollout(name)) else plan

    def rollout_is_over(self, name: str) -> bool:
        """Whether there surely is no rollout: the model's folder can be read, and holds no plan that can be read."""
        try:
            os.stat(self.root / name / "current")
            return self.rollout(name) is None and not self._is_unreadable(name)
        except OSError:
            return False

    def _is_unreadable(self, name: str) -> bool:
        try:
            self._read(self.root / name / "trial.json")
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def last_rollout(self, name: str) -> dict[str, Any] | None:
        """Result of the last rollout: id, version, verdict, time; None if there is none or its file cannot be read."""
        try:
            return parse_card(self._read(self.root / name / "last_trial.json"))
        except (OSError, ValueError, TypeError):
            return None

    def earlier(self, name: str) -> list[int]:
        """Complete versions that were served before the current one, newest first."""
        complete = set(self.versions(name))
        return [version for version in self._previous(name) if version in complete]

    def _previous(self, name: str) -> list[int]:
        """Versions that were served before, newest first, whether they are still there or not."""
        try:
            words = self._read(self.root / name / "previous").decode().split()
        except (OSError, UnicodeDecodeError):
            return []
        return [int(word) for word in words if VERSION.fullmatch(word)]

    def _read(self, path: Path) -> bytes:
        return read_file(self.root, path, MAX_CARD_BYTES)

    def _folder(self, name: str, version: int) -> Path:
        self._check_name(name)
        folder = self.root / name / str(version)
        try:
            with passing_failures(f"Version {version} of {name}"):
                is_there = version > 0 and is_folder(folder)
        except OSError as error:
            raise NoSuchModel(f"Version {version} of {name} cannot be read ({error.strerror}).") from None
        if not is_there:
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise NoSuchModel(f"There is no version {version} of {name}; published versions: {known}.")
        return folder

    def _check_name(self, name: str) -> None:
        """Before `name` becomes part of a path. Raises NoSuchModel."""
        if not NAME.fullmatch(name):
            raise NoSuchModel(f"There is no model of that name; {NAME_RULE}.")

    def _nothing_served(self, name: str) -> str:
        if versions := self.versions(name):
            return (
                f"No version of {name} is promoted, though {', '.join(map(str, versions))} "
                f"can be: python -m training promote {versions[-1]}"
            )
        return f"There is no model named {name}; train and publish one with: python -m training retrain"

    def _served(self, name: str) -> int | None:
        try:
            return self.current(name)
        except (NoSuchModel, ModelBroken):
            return None
