"""Prints what pyproject.toml asks for, and what the extras named ask for in addition, as pip's -r reads it. So an image
has its wheels in a layer that only pyproject.toml and constraints.txt change.

    python deploy/image/requirements.py [EXTRA ...]
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = [line for name in sys.argv[1:] for line in project["optional-dependencies"][name]]
print("\n".join([*project["dependencies"], *extras]))
