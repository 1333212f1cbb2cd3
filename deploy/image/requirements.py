"""Prints the dependencies in pyproject.toml, with those of the named extras, in the format of pip install -r.

The image installs them in a layer of its own, which is rebuilt only where pyproject.toml or constraints.txt changed.

    python deploy/image/requirements.py [EXTRA ...]
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = [line for name in sys.argv[1:] for line in project["optional-dependencies"][name]]
print("\n".join([*project["dependencies"], *extras]))
