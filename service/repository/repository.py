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

import json
import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

from service.errors import ModelBroken, NoSuchModel, Unavailable
from service.repository.files import is_folder
from service.repository.rollout_plan import RolloutPlan

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NAME_RULE = "a name is letters, digits, - and _, 64 at most"
RETRY_AFTER_S = 5
VERSION = re.compile(r"[1-9][0-9]{0,17}")
MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"

Card = dict[str, Any]


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
        return sorted(name for name in self._entries() if NAME.fullmatch(name) and self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Complete versions of `name` (model and card are there), ascending; empty for an unknown name.

        A version that cannot be read is left out; `troubles` names it.
        """
        return self._versions_and_troubles(name)[0]

    def troubles(self) -> dict[str, str]:
        """What in the folder of models cannot be read or is ignored: a sentence per entry.

        Raises:
            Unavailable: the folder of models itself cannot be read.
        """
        found = {}
        for name in self._entries():
            if NAME.fullmatch(name):
                if troubles := self._versions_and_troubles(name)[1]:
                    found[name] = " ".join(troubles)
            elif not name.startswith((".", "@")) and is_folder(self.root / name):
                found[name] = f"The folder {name[:64]!r} is ignored: {NAME_RULE}. Rename it."
        return found

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"The models folder cannot be read ({error.strerror}).", RETRY_AFTER_S) from None

    def _versions_and_troubles(self, name: str) -> tuple[list[int], list[str]]:
        if not NAME.fullmatch(name):
            return [], []
        folder, versions, troubles = self.root / name, [], []
        try:
            entries = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        except OSError as error:
            return [], [f"The folder of {name} cannot be read ({error.strerror})."]
        for version in sorted(int(entry) for entry in entries if VERSION.fullmatch(entry)):
            try:
                if all(stat.S_ISREG(os.stat(folder / str(version) / file).st_mode) for file in (MODEL_FILE, CARD_FILE)):
                    versions.append(version)
            except (FileNotFoundError, NotADirectoryError):
                continue  # not complete: it is being copied, or was removed
            except OSError as error:
                troubles.append(f"Version {version} of {name} cannot be read ({error.strerror}).")
        return versions, troubles

    def current(self, name: str) -> int:
        """The version to serve.

        Raises:
            NoSuchModel: no version of `name` was ever promoted.
            ModelBroken: `current` does not hold an integer, or cannot be read.
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
        """Version labels: `stable` is the served version, `canary` the canary's version while one runs (no shadow)."""
        plan = self.rollout(name)
        named = {"stable": self._served(name), "canary": plan.version if plan and not plan.shadow else None}
        return {label: version for label, version in named.items() if version}

    def card(self, name: str, version: int) -> Card:
        """The card of one version, as parsed JSON.

        Raises:
            NoSuchModel: the version does not exist.
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
        """Path of the version's model.onnx. Raises NoSuchModel if the version does not exist."""
        return self._folder(name, version) / MODEL_FILE

    def model_bytes(self, name: str, version: int) -> bytes:
        """The bytes of model.onnx, verified against the SHA-256 in the card, so that a partial file is never loaded.

        Raises:
            NoSuchModel: the version does not exist.
            ModelBroken: the file is missing or unreadable, or its SHA-256 is not that of the card.
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
        """Compares equal while `current` and the version's files are unchanged (inode, size and times)."""
        folder = self.root / name / str(version)
        paths = (self.root / name / "current", folder, folder / MODEL_FILE, folder / CARD_FILE)
        return tuple(map(_stat, paths))

    def rollout(self, name: str) -> RolloutPlan | None:
        """The plan of the running rollout; None if there is none or its file cannot be read."""
        try:
            return RolloutPlan.from_json((self.root / name / "trial.json").read_bytes())
        except (OSError, ValueError, TypeError):
            return None

    def rollout_is_over(self, name: str) -> bool:
        """Whether there surely is no rollout: the model's folder can be read, and holds no plan that can be read."""
        try:
            os.stat(self.root / name / "current")
            return self.rollout(name) is None and not self._is_unreadable(name)
        except OSError:
            return False

    def _is_unreadable(self, name: str) -> bool:
        try:
            (self.root / name / "trial.json").read_bytes()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def last_rollout(self, name: str) -> dict[str, Any] | None:
        """Result of the last rollout: version, verdict, time; None if there is none or its file cannot be read."""
        try:
            return dict(json.loads((self.root / name / "last_trial.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _folder(self, name: str, version: int) -> Path:
        self._check_name(name)
        folder = self.root / name / str(version)
        if version < 1 or not is_folder(folder):
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


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
