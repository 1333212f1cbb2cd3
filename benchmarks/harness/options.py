"""The command-line options of every load run. Imports the standard library only, because it runs first."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.harness import workloads
from benchmarks.harness.environments import ROOT


def base_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that every load run shares: which model is served, and on which cores."""
    shared = argparse.ArgumentParser(prog=name, description=description)
    shared.add_argument("--models-dir", type=Path, default=ROOT / "models", help="the model repository (models)")
    shared.add_argument("--model", default="digits", help="the model's name in it (digits)")
    shared.add_argument("--server-core", type=int, help="core of the server (the first)")
    shared.add_argument("--load-core", type=int, help="core of wrk (the second)")
    return shared


def parser() -> argparse.ArgumentParser:
    """The options of `python -m benchmarks`."""
    known = ", ".join(workloads.BY_KEY)
    full = base_parser("python -m benchmarks", "Compare the service with the ceiling and with other servers.")
    full.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    full.add_argument("--seconds", type=float, default=4, help="whole seconds per measurement (4)")
    full.add_argument("--quick", action="store_true", help="one round of 1 s with fewer cases: checks that all works")
    full.add_argument(
        "--only", type=_names, default=[], help="contenders, separated by commas; an unknown name lists all of them"
    )
    full.add_argument("--workloads", type=_names, default=[], help=f"workloads, separated by commas: {known}")
    full.add_argument("--floors", action="store_true", help="print the floors table; exit 1 where a floor is missed")
    full.add_argument("--report", type=Path, metavar="RESULTS.json", help="make no load; print a saved run's tables")
    return full


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
