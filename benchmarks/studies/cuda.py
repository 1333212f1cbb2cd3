"""Is CUDA faster than the CPU, and are its answers the same? Needs an NVIDIA GPU and onnxruntime-gpu.

    pip install onnxruntime-gpu    (in place of onnxruntime)
    .venv/bin/python -m benchmarks.studies.cuda [--seconds 2]

Loads both providers as service/engine/model.py does, compares their probabilities, and prints digits per second at each
batch size; CUDA with and without bound inputs and outputs. Exits with 1 where a probability differs by more than 1e-4,
and with 2 without CUDA.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.digits import digits
from service.engine.model import OUTPUT, TOLERANCE, Model
from service.errors import ProviderUnavailable
from service.repository.repository import Repository

BATCHES = (1, 16, 64, 256, 1024, 4096)
Run = Callable[[Any], Any]


def digits_per_second(run: Run, pixels: Any, seconds: float) -> float:
    """Mean over the runs that fit into `seconds`, at least three, after two warm-up runs."""
    run(pixels), run(pixels)
    began, runs = time.perf_counter(), 0
    while runs < 3 or time.perf_counter() - began < seconds:
        run(pixels)
        runs += 1
    return len(pixels) * runs / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"), help="the model repository")
    parser.add_argument("--seconds", type=float, default=2, help="seconds per measurement (2)")
    options = parser.parse_args()
    repository = Repository(options.models)
    data = repository.model_bytes("digits", repository.current("digits"))
    cpu = Model.load(data, "cpu")
    try:
        gpu = Model.load(data, "cuda")
    except ProviderUnavailable as error:
        sys.stderr.write(f"Nothing was measured. {error}\n")
        sys.exit(2)
    pixels = digits(max(BATCHES))
    difference = max(
        float(np.abs(gpu.predict(pixels[:size]) - cpu.predict(pixels[:size])).max()) for size in (1, 7, 64, 1000)
    )
    print(f"largest difference between CPU and CUDA: {difference:.1e} (allowed: {TOLERANCE:g})\n")
    print(f"| digits per run | CPU, digits/s | CUDA | CUDA, bound | bound over CPU |\n|{' ---: |' * 5}")
    ways: list[Run] = [cpu.predict, lambda p: gpu._run_plain([OUTPUT], p), gpu.predict]
    for size in BATCHES:
        rates = [digits_per_second(way, pixels[:size], options.seconds) for way in ways]
        print(f"| {size:,} | {' | '.join(f'{rate:,.0f}' for rate in rates)} | {rates[2] / rates[0]:.1f} |")
    sys.exit(difference > TOLERANCE)


if __name__ == "__main__":
    main()
