"""Virtual environments under .bench/: one for the driver and one per peer. Imports the standard library only.

python -m benchmarks.harness.environments [NAME …]     (makes all of them, or those named, ahead of a run)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".bench"
PEERS_FOLDER = ROOT / "benchmarks" / "peers"
PEERS = ("tutorial", "pytriton", "mlserver", "litserve", "bentoml", "ray")
NEEDS_3_10 = {"pytriton"}
TOOLS = {"wrk": "wrk", "taskset": "util-linux"}  # command: the Debian package that has it
LIBRARY = "import sysconfig as s; print(s.get_config_var('LIBDIR') or '', s.get_config_var('INSTSONAME') or '')"


class Unavailable(Exception):
    """An environment or a tool is missing and cannot be made here; the message says why and what would help."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment made from one requirements file."""

    name: str

    @property
    def folder(self) -> Path:
        return HOME / self.name

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def requirements(self) -> Path:
        if self.name == "driver":
            return Path(__file__).with_name("requirements.txt")
        return PEERS_FOLDER / f"requirements-{self.name}.txt"

    def ensure(self) -> None:
        """Create it, or recreate it where the pins or the Python changed. Raises Unavailable where that fails."""
        python = python_3_10() if self.name in NEEDS_3_10 else Path(sys.executable)
        stamp = self.folder / "made-from"
        wanted = hashlib.sha256(self.requirements.read_bytes()).hexdigest() + _version(python)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        print(f"Making .bench/{self.name} (once; takes minutes if packages must be downloaded) …", flush=True)
        HOME.mkdir(exist_ok=True)
        (HOME / ".gitignore").write_text("*\n")
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([str(python), "-m", "venv", str(self.folder)], self.name)
        pip = [str(self.bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "-r", str(self.requirements)], self.name)
        stamp.write_text(wanted)


def require_tools() -> None:
    """Raises Unavailable where wrk or taskset is not installed."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed: apt-get install {package} (on Debian)")


def service_python() -> Path:
    """The Python that runs the service: BENCH_SERVICE_PYTHON, else .venv's, else the one that runs this."""
    own = ROOT / ".venv" / "bin" / "python"
    return Path(os.environ.get("BENCH_SERVICE_PYTHON") or (own if own.exists() else sys.executable))


def python_3_10() -> Path:
    """A Python 3.10 with a shared library, for PyTriton's stub. Raises Unavailable."""
    if chosen := os.environ.get("BENCH_PYTHON_3_10"):
        candidates = [Path(chosen)]
    else:
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        candidates = sorted(pyenv.glob("versions/3.10.*/bin/python"), reverse=True)
        candidates += [Path(found) for found in [shutil.which("python3.10")] if found]
    for python in candidates:
        if python.is_file() and shared_library(python):
            return python
    raise Unavailable(
        "needs Python 3.10 built with --enable-shared (its stub loads libpython3.10.so): install one with pyenv, "
        "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.10, or point BENCH_PYTHON_3_10 at one"
    )


def shared_library(python: Path) -> Path | None:
    """The folder of this Python's shared library; None where it has none or does not run."""
    found = subprocess.run([str(python), "-c", LIBRARY], capture_output=True, text=True, check=False)
    folder, _, name = found.stdout.strip().partition(" ")
    return Path(folder) if name.endswith((".so", ".so.1.0")) and (Path(folder) / name).exists() else None


def _version(python: Path) -> str:
    return subprocess.run([str(python), "-V"], capture_output=True, text=True, check=True).stdout.strip()


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Unavailable(f".bench/{name} cannot be installed: {last[-1] if last else 'pip failed'}")


if __name__ == "__main__":
    for wanted_name in sys.argv[1:] or ("driver", *PEERS):
        try:
            Environment(wanted_name).ensure()
            print(f"ready    {wanted_name}")
        except Unavailable as error:
            print(f"SKIPPED  {wanted_name}: {error}")
