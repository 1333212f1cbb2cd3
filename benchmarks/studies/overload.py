"""What is left of the service when more is asked of it than it can do: answers per second, health, memory.

    .venv/bin/python -m benchmarks.studies.overload [--root CHECKOUT] [--seconds 8]

Needs wrk (apt-get install wrk) and two CPUs: the service is pinned to one, everything else to the other. A load is
made by so many connections that ask again as soon as they are answered: once, three and ten times as many as keep the
service busy. `one digit` is a JSON request past ASGI. `20,000 digits` is a gzip of 77 kB that unpacks to 16 MB. The
service may hold 64 MiB of bodies. --root runs another checkout, such as an older commit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.harness.checkout import ROOT, service

LOADS = {"one digit": 16, "20,000 digits": 4}  # connections that keep the service busy
TIMES = (1, 3, 10)
HEALTH_PAUSE_S = 0.02
SETTINGS = {"MAX_INSTANCES": "20000", "MAX_INFLIGHT_BYTES": str(64 * 2**20), "MAX_BODY_BYTES": str(32 * 2**20)}
SETTINGS |= {"MAX_CONNECTIONS": "1024", "MAX_CONNECTIONS_PER_CLIENT": "1000"}
SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{kind}"
{coding}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose service runs")
    parser.add_argument("--seconds", type=int, default=8, help="of each load")
    given = parser.parse_args()
    os.sched_setaffinity(0, {1})
    print("| load | connections | answers/s | of the peak | refused/s | health p99 | peak memory |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, busy in LOADS.items():
            script, peak = written(Path(folder), name), 0.0
            for times in TIMES:
                with service(given.root, SETTINGS) as (url, pid):
                    good, refused, health_s, memory = measure(url, pid, script, busy * times, given.seconds)
                peak = max(peak, good)
                share, answers = good / (peak or 1), f"{good:,.0f}" if good > 100 else f"{good:.1f}"
                cells = [name, f"{busy * times} ({times}x)", answers, f"{share:.0%}", f"{refused:,.0f}"]
                cells += [f"{health_s * 1000:.0f} ms", f"{memory / 2**20:,.0f} MiB"]
                print(f"| {' | '.join(cells)} |", flush=True)


def written(folder: Path, name: str) -> Path:
    """wrk's script for a load."""
    digits = np.random.default_rng(1).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    body, kind, coding = json.dumps({"instances": digits.tolist()}).encode(), "application/json", ""
    if name != "one digit":
        body, kind = gzip.compress(np.repeat(digits, 20_000, axis=0).tobytes()), "application/octet-stream"
        coding = 'wrk.headers["Content-Encoding"] = "gzip"'
    file, script = folder / "body", folder / "load.lua"
    file.write_bytes(body)
    script.write_text(SCRIPT.format(body=file, kind=kind, coding=coding))
    return script


def measure(url: str, pid: int, script: Path, connections: int, seconds: int) -> tuple[float, float, float, int]:
    """Answers and refusals per second, the 99th percentile of the time that health takes, and the peak of memory."""
    threads = ["--threads", "1", "--connections", str(connections), "--timeout", "30"]
    load = ["wrk", *threads, "--duration", f"{seconds}s", "--script", str(script), f"{url}/predict"]
    waits, peak = [], 0
    with subprocess.Popen(load, stdout=subprocess.PIPE, text=True) as running, httpx.Client(timeout=60) as client:
        while running.poll() is None:
            began = time.perf_counter()
            client.get(f"{url}/health/live").raise_for_status()
            waits.append(time.perf_counter() - began)
            peak = max(peak, psutil.Process(pid).memory_info().rss)
            time.sleep(HEALTH_PAUSE_S)
        said = running.stdout.read() if running.stdout else ""
    total = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    refused = int(bad[1]) if bad else 0
    return (total - refused) / seconds, refused / seconds, float(np.percentile(waits, 99)), peak


if __name__ == "__main__":
    main()
