"""Publishing versions in tests, in this process and in others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from service.repository.writer import RepositoryWriter
from tests.support.server import ROOT


def publish(repository: RepositoryWriter, content: bytes = b"onnx", name: str = "digits") -> int:
    return repository.publish(name, lambda version: content + b" %d" % version, {"architecture": "none"})


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that uses the repository, as training does while the service runs."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def triton_config(root: Path, name: str = "digits") -> Any:
    """config.pbtxt, parsed with Triton's own protobuf."""
    return text_format.Parse((root / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
