"""The effect of each ONNX Runtime option that service/engine/model.py sets: one changed at a time, on one core.

    .venv/bin/python -m benchmarks.studies.sessions [--rounds 5]

Each variant runs in a process of its own, interleaved over the rounds; the table has medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime as ort

from service.repository.repository import Repository

Change = Callable[[ort.SessionOptions], Any]
LEVELS = ort.GraphOptimizationLevel
SPINNING = "session.intra_op.allow_spinning"


def _offline(options: ort.SessionOptions) -> None:
    """No optimisation at load: the file was optimised before, on this machine."""
    options.graph_optimization_level = LEVELS.ORT_DISABLE_ALL


def _level(level: Any) -> Change:
    return lambda options: setattr(options, "graph_optimization_level", level)


def _threads(spin: str) -> Change:
    def change(options: ort.SessionOptions) -> None:
        options.intra_op_num_threads = 2
        options.add_session_config_entry(SPINNING, spin)

    return change


VARIANTS: dict[str, Change] = {
    "as served": lambda options: None,
    "optimised ahead, loaded as it is": _offline,
    "optimised up to EXTENDED": _level(LEVELS.ORT_ENABLE_EXTENDED),
    "not optimised": _level(LEVELS.ORT_DISABLE_ALL),
    "no memory arena": lambda options: setattr(options, "enable_cpu_mem_arena", False),
    "memory patterns": lambda options: setattr(options, "enable_mem_pattern", True),
    "2 threads, no spinning": _threads("0"),
    "2 threads, spinning (the default with 2 cores)": _threads("1"),
}
SIZES = (1, 7, 64, 3, 256, 31, 128, 2, 200, 16)  # digits per run, as a mixed load has them
BIG = 4096  # digits in one run if large requests were not split


def session(name: str, path: Path, folder: Path) -> ort.InferenceSession:
    """A session as service/engine/model.py creates it, with one change."""
    source = path
    if name.startswith("optimised ahead"):
        source = folder / "optimised.onnx"
        if not source.exists():
            options = _options()
            options.optimized_model_filepath = str(source)
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    data, options = source.read_bytes(), _options()
    VARIANTS[name](options)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry(SPINNING, "0")
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    return options


def measure(name: str, path: Path, folder: Path) -> dict[str, float]:
    """One figure per column: load time, time of the first and of later runs, memory, CPU time of run and pause."""
    session(name, path, folder)
    before, began = _memory_mb(), time.perf_counter()
    made = session(name, path, folder)
    found = {"load ms": (time.perf_counter() - began) * 1e3}
    found["first run us"] = _microseconds(made, 1, 1)
    found |= {f"{rows} us": _microseconds(made, rows, max(40, 4000 // rows)) for rows in (1, 64, 256)}
    for _ in range(20):
        for rows in SIZES:
            _run(made, rows)
    found["MB, up to 256"] = _memory_mb() - before
    used = time.process_time()
    for _ in range(20):  # one run every 25 ms: do the threads use CPU between them?
        _run(made, 64)
        time.sleep(0.025)
    found["CPU ms per run and pause"] = (time.process_time() - used) * 1e3 / 20
    _run(made, BIG)
    return found | {f"MB, after {BIG}": _memory_mb() - before}


def _run(made: ort.InferenceSession, rows: int) -> None:
    made.run(["probabilities"], {"pixels": np.full((rows, 28, 28, 1), 9, np.uint8)})


def _microseconds(made: ort.InferenceSession, rows: int, times: int) -> float:
    pixels = {"pixels": np.full((rows, 28, 28, 1), 9, np.uint8)}
    took = []
    for _ in range(times):
        began = time.perf_counter()
        made.run(["probabilities"], pixels)
        took.append(time.perf_counter() - began)
    return median(took) * 1e6


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each variant (5)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="the model repository")
    parser.add_argument("--one", nargs=2, metavar=("VARIANT", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    repository = Repository(chosen.models)
    path = repository.model_path("digits", repository.current("digits"))
    if chosen.one:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(measure(chosen.one[0], path, Path(chosen.one[1]))))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(chosen.rounds):
            for name, rounds in found.items():
                command = [sys.executable, "-m", "benchmarks.studies.sessions", "--models", str(chosen.models)]
                done = subprocess.run([*command, "--one", name, folder], capture_output=True, text=True, check=True)
                rounds.append(json.loads(done.stdout))
    print(table(found))


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table, one row per variant."""
    columns = list(next(iter(found.values()))[0])
    lines = [f"| one option changed | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name, rounds in found.items():
        cells = [f"{median(one[column] for one in rounds):.3g}" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
