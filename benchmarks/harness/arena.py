"""Where a run takes place: the cores, the served model, and how a contender is started."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.harness import machine
from benchmarks.harness.contenders import Contender
from benchmarks.harness.environments import (
    HOME,
    PEERS_FOLDER,
    ROOT,
    Environment,
    Unavailable,
    python_3_10,
    require_tools,
    service_python,
    shared_library,
)
from benchmarks.harness.reference import Reference
from benchmarks.harness.server import Server, free_port

IN_PROCESS = Path(__file__).with_name("inprocess.py")


@dataclass(frozen=True)
class Arena:
    """Two cores, one model, a temporary folder, and the Python that runs the service."""

    reference: Reference
    server_core: int
    load_core: int
    scratch: Path
    service_python: Path

    def launch(self, contender: Contender) -> Server:
        """Start `contender` on the server's core. Raises Unavailable where its environment cannot be made."""
        if contender.environment:
            Environment(contender.environment).ensure()
        port = free_port()
        places = self._places(contender, port)
        command = [part.format_map(places) for part in contender.command]
        variables = {name: value.format_map(places) for name, value in contender.variables.items()}
        variables |= {"BENCH_MODEL": str(self.reference.path), "BENCH_PORT": str(port)}
        if contender.environment == "pytriton":
            variables["LD_LIBRARY_PATH"] = str(shared_library(python_3_10()))
        folder = PEERS_FOLDER if contender.environment else self.scratch  # the service writes into its working folder
        return Server(command, variables, folder, port, self.server_core)

    def in_process(self, seconds: float) -> Mapping[str, object]:
        """Throughput of onnxruntime without a server, on the server's core; inprocess.py gives the format."""
        command = ["taskset", "-c", str(self.server_core), str(self.service_python), str(IN_PROCESS)]
        done = subprocess.run(
            [*command, str(self.reference.path), str(seconds)],
            capture_output=True, text=True, timeout=seconds + 120, check=True,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    def version(self, contender: Contender) -> str:
        """The installed version of the contender's package, or "?"."""
        program = f"import importlib.metadata as m; print(m.version({contender.package!r}))"
        command = [str(self._python(contender)), "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "?"

    def _python(self, contender: Contender) -> Path:
        return HOME / contender.environment / "bin" / "python" if contender.environment else self.service_python

    def _places(self, contender: Contender, port: int) -> dict[str, object]:
        python = self._python(contender)
        return {
            "python": python,
            "bin": python.parent,
            "port": port,
            "port2": free_port(),
            "port3": free_port(),
            "root": ROOT,
            "models_dir": self.reference.models_dir,
            "name": self.reference.name,
            "answer_bytes": self.reference.answer_bytes,
        }


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Arena]:
    """The arena for these options. Pins this process to the load's core. Exits with advice on a failure."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # raises SystemExit, so that every server is ended
    with tempfile.TemporaryDirectory(prefix="bench-run-") as scratch:
        try:
            require_tools()
            reference = Reference.current(options.models_dir, options.model)
            server, load = machine.cores(options.server_core, options.load_core)
        except (FileNotFoundError, ValueError, Unavailable) as error:
            sys.exit(f"Cannot run: {error}")
        psutil.Process().cpu_affinity([load])
        yield Arena(reference, server, load, Path(scratch), service_python())
