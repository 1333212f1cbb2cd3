"""KServe's own Python client, unchanged: its V1, V2 and gRPC."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.addresses import grpc_address
from tests.support.models import digit, publish
from tests.support.server import PATIENCE_S, Server

PYTHON = os.environ.get("KSERVE_PYTHON")
ASK = Path(__file__).with_name("ask_kserve.py")


@pytest.mark.skipif(not PYTHON, reason="KServe's client is not installed: it was NOT tried")
@pytest.mark.parametrize("workers", [1, 2])
def test_every_protocol(tmp_path: Path, workers: int) -> None:
    publish(tmp_path)
    pixels = ",".join(map(str, digit(7).ravel()))
    with Server(tmp_path, workers=workers, grpc_port=0) as server:
        command = [str(PYTHON), str(ASK), server.url, grpc_address(server), pixels]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        code, log = server.stop()
    assert found.keys() == {"v1", "v2", "grpc"}
    for protocol, answers in found.items():
        predictions = answers.pop("predictions")
        assert max(range(10), key=predictions.__getitem__) == 7, protocol
        assert all(answers.values()), (protocol, answers)
    assert (code, "Traceback" in log) == (0, False)
