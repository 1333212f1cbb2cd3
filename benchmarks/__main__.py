"""python -m benchmarks [--quick …]: makes the driver's own virtual environment, then runs command.py in it.

Any Python from 3.11 on will do; the service itself is run by .venv/bin/python, or else by the Python that runs this.
"""

from __future__ import annotations

import os
import shutil
import sys

from benchmarks.environments import ROOT, Environment, Unavailable

OTHERS = {"soak", "latency_mix", "observability"}  # modules of this folder


def main() -> None:
    module, arguments = "command", sys.argv[1:]
    if arguments and arguments[0] in OTHERS:
        module, arguments = arguments[0], arguments[1:]
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed; it is Debian's package {package}: apt-get install {package}")
    driver = Environment("driver")
    try:
        driver.ensure()
    except Unavailable as error:
        sys.exit(f"Cannot run: {error}")
    own = ROOT / ".venv" / "bin" / "python"
    os.environ.setdefault("BENCH_SERVICE_PYTHON", str(own if own.exists() else sys.executable))
    os.chdir(ROOT)
    os.execv(driver.bin / "python", [str(driver.bin / "python"), "-m", f"benchmarks.{module}", *arguments])


if __name__ == "__main__":
    main()
