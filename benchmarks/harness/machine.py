"""Facts about the machine, which are shown with the figures."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import onnxruntime
import psutil


def facts(service_python: Path) -> dict[str, Any]:
    """CPU, cores, memory, kernel, the service's Python and libraries, wrk."""
    program = (
        "import importlib.metadata as m, platform; "
        "names = 'fastapi starlette uvicorn uvloop httptools onnxruntime numpy orjson pydantic pillow'.split(); "
        "print(platform.python_version(), *[f'{n} {m.version(n)}' for n in names], sep=', ')"
    )
    done = subprocess.run([str(service_python), "-c", program], capture_output=True, text=True, check=False)
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split(" [")[0]
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "service": f"Python {done.stdout.strip()}",
        "load": wrk,
        "reference": f"onnxruntime {onnxruntime.__version__}",
        "load_average_before": os.getloadavg()[0],
    }


def cores(server: int | None, load: int | None) -> tuple[int, int]:
    """The cores of server and load: those given, or the first two that this process may use.

    Raises:
        ValueError: these are not two different usable cores.
    """
    usable = sorted(os.sched_getaffinity(0))
    first = usable[0] if server is None else server
    second = next((core for core in usable if core != first), first) if load is None else load
    if first == second or not {first, second} <= set(usable):
        raise ValueError(f"two cores are needed, one for the server and one for the load; usable here: {usable}")
    return first, second


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
