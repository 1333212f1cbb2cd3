"""perf_analyzer, Triton's own load generator: it reads the statistics, and its counts agree with them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.addresses import grpc_address
from tests.support.models import publish
from tests.support.server import Server

PROGRAM = os.environ.get("PERF_ANALYZER")
AT_ONCE, WINDOWS, REQUESTS = 4, 3, 300
# stable: whatever the times of this machine are, three windows are enough
MEASURED = [
    "--measurement-mode",
    "count_windows",
    "--measurement-request-count",
    str(REQUESTS),
    "-s",
    "999",
    "-r",
    str(WINDOWS),
]
JSON = ["--input-tensor-format", "json", "--output-tensor-format", "json"]
KINDS = {"HTTP, binary": ["-i", "http"], "HTTP, JSON": ["-i", "http", *JSON], "gRPC": ["-i", "grpc"]}


def count(name: str, part: str) -> int:
    found = re.search(rf"{name}: (\d+)", part)
    assert found, part
    return int(found[1])


@pytest.mark.skipif(not PROGRAM, reason="perf_analyzer is not here: it was NOT tried")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_its_counts_are_those_of_the_statistics(tmp_path: Path, kind: str, workers: int) -> None:
    publish(tmp_path)
    with Server(tmp_path, workers=workers, grpc_port=0) as server:
        where = grpc_address(server) if "grpc" in KINDS[kind] else f"127.0.0.1:{server.port}"
        command = [str(PROGRAM), "-m", "digits", "-u", where, "--shape", "pixels:1,28,28", "-v"]
        command += ["--concurrency-range", str(AT_ONCE), *KINDS[kind], *MEASURED]
        libraries = {"LD_LIBRARY_PATH": str(Path(str(PROGRAM)).parent)}
        done = subprocess.run(command, env=libraries, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        client, _, served = done.stdout.partition("Server:")
        asked, answered = count("Request count", client), count("Successful request count", served)
        assert asked >= WINDOWS * REQUESTS
        # it asks for the statistics just before or after the ends of each window: they lack or have these moments too
        assert abs(answered - asked) <= max(2 * AT_ONCE * WINDOWS, asked // 50)
        [found] = server.client.get("/v2/models/digits/stats").json()["model_stats"]
        assert found["inference_stats"]["fail"]["count"] == 0
        assert found["inference_count"] == found["inference_stats"]["success"]["count"] >= answered
