"""Which versions of a model are complete, and which cannot be read: one trouble hides no other version."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

VERSION = re.compile(r"[1-9][0-9]{0,17}")
MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"


def versions_and_troubles(folder: Path) -> tuple[list[int], list[str]]:
    """Complete versions (model and card are there) in a model's folder, ascending; a sentence per unreadable one."""
    versions, troubles, name = [], [], folder.name
    try:
        entries = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [f"The folder of {name} cannot be read ({error.strerror})."]
    for version in sorted(int(entry) for entry in entries if VERSION.fullmatch(entry)):
        try:
            if _is_complete(folder / str(version)):
                versions.append(version)
        except OSError as error:
            troubles.append(f"Version {version} of {name} cannot be read ({error.strerror}).")
    return versions, troubles


def may_be_folder(path: Path) -> bool:
    """Whether this is a folder or a link to one; True too where that cannot be found out."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_complete(folder: Path) -> bool:
    """False while it is being copied, and after it was removed. Raises OSError where it cannot be read."""
    try:
        return all(stat.S_ISREG(os.stat(folder / file).st_mode) for file in (MODEL_FILE, CARD_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return False
