"""Entry point of the load benchmark:

    python -m benchmarks [--quick …]

Any Python from 3.11 on can start it. It makes the driver's own virtual environment in .bench/driver and runs
harness/command.py there. The service itself is run by .venv/bin/python where there is one; BENCH_SERVICE_PYTHON names
another.
"""

from __future__ import annotations

import os
import sys

from benchmarks.harness import options
from benchmarks.harness.environments import ROOT, Environment, Unavailable, require_tools, service_python


def main() -> None:
    options.parser().parse_args()  # --help and mistakes end here, before an environment is made
    driver = Environment("driver")
    try:
        require_tools()
        driver.ensure()
    except Unavailable as error:
        sys.exit(f"Cannot run: {error}")
    os.environ["BENCH_SERVICE_PYTHON"] = str(service_python())
    os.chdir(ROOT)
    python = str(driver.bin / "python")
    os.execv(python, [python, "-m", "benchmarks.harness.command", *sys.argv[1:]])


if __name__ == "__main__":
    main()
