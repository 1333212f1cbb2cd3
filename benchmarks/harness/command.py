"""The command line: choose, run, report. Runs in .bench/driver; python -m benchmarks brings it there."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping

from benchmarks.harness import arena, chart, contenders, floors, machine, rounds, table, workloads
from benchmarks.harness.environments import HOME, ROOT, Environment, Unavailable
from benchmarks.harness.options import parser
from benchmarks.harness.results import Results

BUSY = 0.7  # load average above which another program disturbs the measurement
KEPT = ROOT / "benchmarks" / "results"
CHART = ROOT / "docs" / "benchmark.png"


def main() -> None:
    options = parser().parse_args()
    results = Results.load(options.report) if options.report else measure(options)
    if not options.report:
        save(results, partial=options.quick or bool(options.only or options.workloads or options.floors))
    elif not options.floors:
        print(table.report(results))
    if options.floors:
        page, status = floors.report(results)
        print(page)
        sys.exit(status)


def measure(options: argparse.Namespace) -> Results:
    """Run everything that was asked for."""
    _refuse_unknown("contender", options.only, contenders.BY_KEY)
    _refuse_unknown("workload", options.workloads, workloads.BY_KEY)
    field = [c for c in contenders.ALL if not options.only or c.key in options.only]
    wanted = options.workloads or (floors.WORKLOADS if options.floors else None)
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    unavailable = _environments(field)
    with arena.opened(options) as place:
        results = _empty(options, place)
        if results.machine["load_average_before"] > BUSY:
            print("The machine is busy: these figures are good for seeing that all works, and for nothing else.")
        results.left_out |= unavailable
        rounds.run(place, field, workloads.chosen(wanted, options.quick), options.rounds, options.seconds, results)
    return results


def save(results: Results, partial: bool) -> None:
    """Write JSON and tables. Only a whole run changes what the repository shows: others are kept under .bench/."""
    folder = HOME / "results" if partial else KEPT
    path = folder / f"{results.settings['date'].replace(':', '').replace(' ', '-')}.json"
    results.save(path)
    (folder / "latest.md").write_text(table.report(results))
    chart.draw(results, HOME / "results" / "benchmark.png" if partial else CHART)
    print(f"\n{table.report(results)}\nSaved: {path}, with latest.md beside it")


def _empty(options: argparse.Namespace, place: arena.Arena) -> Results:
    settings = {
        "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "arguments": sys.argv[1:],
        "rounds": options.rounds,
        "seconds": options.seconds,
        "server_core": place.server_core,
        "load_core": place.load_core,
        "model": f"{place.reference.name} version {place.reference.version}",
    }
    return Results(machine.facts(place.service_python), settings)


def _environments(field: list[contenders.Contender]) -> dict[str, str]:
    """Make what is missing before the clock runs. Returns who cannot take part, and why."""
    left_out: dict[str, str] = {}
    for contender in field:
        if contender.environment:
            try:
                Environment(contender.environment).ensure()
            except Unavailable as error:
                left_out[contender.key] = str(error)
                print(f"  LEFT OUT  {contender.key}: {error}", flush=True)
    return left_out


def _refuse_unknown(what: str, asked: list[str], known: Mapping[str, object]) -> None:
    if unknown := [key for key in asked if key not in known]:
        sys.exit(f"No {what} {', '.join(unknown)}; there are {', '.join(known)}")


if __name__ == "__main__":
    main()
