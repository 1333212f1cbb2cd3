"""The commands as one types them, in this process or in one of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended; `code` is what the shell would see."""

    code: int
    out: str
    err: str


Typed = Callable[..., Done]  # takes the words of the command


def process(*words: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m training <words>` in `folder`, as a process of its own."""
    command = [sys.executable, "-m", "training", *map(str, words)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=variables)
