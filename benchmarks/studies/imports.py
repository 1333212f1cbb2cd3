"""Start-up time and memory by step: the libraries, the service's own modules, and the application with its model.

    .venv/bin/python -m benchmarks.studies.imports [--rounds 7]

Each round imports the steps one after the other in a fresh interpreter, on one core; the table has medians over the
rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
STEPS = {
    "Python itself": "",
    "asyncio, uvloop, httptools": "import asyncio, uvloop, httptools",
    "numpy": "import numpy",
    "onnxruntime": "import onnxruntime",
    "pydantic": "import pydantic",
    "uvicorn": "import uvicorn",
    "FastAPI": "import fastapi",
    "pydantic-settings, prometheus-client, orjson": "import pydantic_settings, prometheus_client, orjson",
    "the modules of service/": "import service.start",
    "the application: routes, model loaded and warmed up": (
        "from service.app import create_app; from service.settings import Settings; "
        "app = create_app(Settings(feedback_path='/dev/null'))"
    ),
}
PROGRAM = """
import gc, json, os, sys, time
gc.disable()  # as the service does while it starts
steps = json.loads(sys.argv[1])
page = os.sysconf("SC_PAGE_SIZE")
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * page / 1e6
found, at = [], float(sys.argv[2])
for step in steps:
    exec(step)
    now = time.time()
    found.append((1000 * (now - at), memory()))
    at = time.time()
print(json.dumps(found))
"""


def measure() -> list[tuple[float, float]]:
    """(milliseconds, MB resident so far) of each step, in one new process."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(STEPS.values())), str(time.time())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [(ms, mb) for ms, mb in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how many rounds (7)")
    rounds = parser.parse_args().rounds
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    found = [measure() for _ in range(rounds)]
    print("| step | ms | ms so far | MB so far |\n| --- | ---: | ---: | ---: |")
    so_far = 0.0
    for index, name in enumerate(STEPS):
        took = median(one[index][0] for one in found)
        so_far += took
        print(f"| {name} | {took:.0f} | {so_far:.0f} | {median(one[index][1] for one in found):.0f} |")


if __name__ == "__main__":
    main()
