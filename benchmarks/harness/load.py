"""One measurement of one URL with wrk."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
ERRORS = ("connect", "read", "write", "status", "timeout")
TIMEOUT_S = 30  # after which wrk counts a request as timed out


@dataclass(frozen=True)
class Measured:
    """The result of one measurement. The figures are invalid where `errors` is not empty."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: dict[str, int]


def command(url: str, body: Path, headers: Mapping[str, str], connections: int, seconds: float, core: int) -> list[str]:
    """The command line, pinned to one core: one thread, a closed loop over `connections` kept-alive connections."""
    wrk = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        f"--timeout={TIMEOUT_S}s",
        "-s",
        str(SCRIPT),
    ]
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return ["taskset", "-c", str(core), *wrk, url, "--", str(body), *lines]


def parse(output: str) -> Measured:
    """Parse the last line of the output, which post.lua wrote."""
    found = json.loads(output.strip().splitlines()[-1])
    return Measured(
        requests=found["requests"],
        requests_per_second=found["requests"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        max_ms=found["max_ms"],
        errors={name: found[name] for name in ERRORS if found[name]},
    )


def load(url: str, body: Path, headers: Mapping[str, str], connections: int, seconds: float, core: int) -> Measured:
    """Load `url` for `seconds`. Ends in bounded time. Raises RuntimeError where wrk fails."""
    wrk = command(url, body, headers, connections, seconds, core)
    done = subprocess.run(wrk, capture_output=True, text=True, timeout=seconds + 2 * TIMEOUT_S + 30, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return parse(done.stdout)
