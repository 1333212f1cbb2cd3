"""Starts the Triton server of the PyTriton package, makes every call of calls.py and stores the answers in triton.json.

    .venv/bin/python -m benchmarks.harness.environments pytriton     # once: makes .bench/pytriton
    .venv/bin/python -m tests.oracle.record

PyTriton's own proxy blocks the repository and statistics endpoints, so the server is started without it. Its model
repository has the same versions as the service's, with the same ONNX file behind Triton's Python backend.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from tests.oracle.calls import GRPC, HTTP, Http
from tests.oracle.wire import Answer, ask_grpc, ask_http
from tests.support.models import classifier

HERE = Path(__file__).parent
PEER = HERE.parents[1] / ".bench" / "pytriton"
RECORDING = HERE / "triton.json"
TIMEOUT_S = 60
CONFIG = """
name: "digits"
backend: "python"
max_batch_size: 30000
input [{ name: "pixels" data_type: TYPE_UINT8 dims: [28, 28, 1] }]
output [{ name: "probabilities" data_type: TYPE_FP32 dims: [10] label_filename: "labels.txt" }]
dynamic_batching {}
"""


@contextmanager
def triton() -> Iterator[tuple[int, int]]:
    """A Triton server on two free ports, HTTP and gRPC; ended by its process id."""
    with TemporaryDirectory(prefix="oracle-") as folder:
        root = Path(folder)
        server = _install(root)
        _publish(root / "models")
        ports = _free_port(), _free_port()
        process = subprocess.Popen(_command(root, server, *ports), env=_environment())
        try:
            _wait_until_ready(process, ports[0])
            yield ports
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _install(root: Path) -> Path:
    package = next(PEER.glob("lib/python3.10/site-packages/pytriton"))
    server = root / "tritonserver"
    shutil.copytree(package / "tritonserver", server)
    stub = server / "python_backend_stubs" / "3.10" / "triton_python_backend_stub"
    shutil.copy2(stub, server / "backends" / "python")
    return server


def _publish(models: Path) -> None:
    for version in ("1", "2"):
        folder = models / "digits" / version
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(classifier())
        shutil.copy(HERE / "triton_model.py", folder / "model.py")
    (models / "digits" / "config.pbtxt").write_text(CONFIG)
    (models / "digits" / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))


def _command(root: Path, server: Path, http_port: int, grpc_port: int) -> list[str]:
    flags = {
        "model-repository": root / "models",
        "backend-directory": server / "backends",
        "cache-directory": server / "caches",
        "model-control-mode": "explicit",
        "load-model": "digits",
        "http-address": "127.0.0.1",
        "http-port": http_port,
        "grpc-address": "127.0.0.1",
        "grpc-port": grpc_port,
        "allow-metrics": False,
        "log-info": False,
    }
    return [str(server / "bin" / "tritonserver"), *(f"--{name}={value}" for name, value in flags.items())]


def _environment() -> dict[str, str]:
    python = Path(os.path.realpath(PEER / "bin" / "python")).parents[1] / "lib"
    bundled = next(PEER.glob("lib/python3.10/site-packages/nvidia_pytriton.libs"))
    return os.environ | {"LD_LIBRARY_PATH": f"{python}:{bundled}", "PATH": f"{PEER / 'bin'}:{os.environ['PATH']}"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask_http(port, Http("", "GET", "/v2/models/digits/ready"))["status"] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"Triton did not become ready (exit code {process.poll()})")


def record() -> dict[str, dict[str, Answer]]:
    """protocol -> call -> answer."""
    with triton() as (http_port, grpc_port):
        over_http = {call.name: ask_http(http_port, call) for call in HTTP}
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            over_grpc = {call.name: ask_grpc(channel, call) for call in GRPC}
    return {"http": over_http, "grpc": over_grpc}


if __name__ == "__main__":
    RECORDING.write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n")
