"""Copies the models of the image to a volume that does not have them yet. Existing models stay as they are.

Versions are copied first and `current` last, so that a pod that starts meanwhile finds a complete version or none.

    python seed.py /app/models /models
"""

import shutil
import sys
from pathlib import Path


def seed(image: Path, volume: Path) -> None:
    """Copy every model without a `current` file on the volume."""
    for model in sorted(path for path in image.iterdir() if path.is_dir()):
        to = volume / model.name
        if (to / "current").exists() or not (model / "current").exists():
            continue
        shutil.copytree(model, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("current", ".*"))
        shutil.copyfile(model / "current", to / ".current-of-the-image")
        (to / ".current-of-the-image").replace(to / "current")
        print(f"{model.name}: version {(to / 'current').read_text().strip()}, from the image")


if __name__ == "__main__":
    seed(*map(Path, sys.argv[1:]))
