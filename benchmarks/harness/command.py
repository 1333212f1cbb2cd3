"""One benchmark: choose, run, report. `python -m benchmarks` runs this module in .bench/driver."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping

from benchmarks.harness import arena, chart, contenders, floors, machine, rounds, table, workloads
from benchmarks.harness.environments import HOME, ROOT, Environment, Unavailable
from benchmarks.harness.options import parser
from benchmarks.harness.results import Results

BUSY = 0.7  # load average above which other programs disturb the measurement
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
    """Run the chosen contenders and workloads."""
    _reject_unknown("contender", options.only, contenders.BY_KEY)
    _reject_unknown("workload", options.workloads, workloads.BY_KEY)
    field = [c for c in contenders.ALL if not options.only or c.key in options.only]
    wanted = options.workloads or (floors.WORKLOADS if options.floors else None)
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    unavailable = _environments(field)
    with arena.opened(options) as place:
        results = _empty(options, place)
        if results.machine["load_average_before"] > BUSY:
            print("The machine is busy: do not use these figures, they show only that everything works.")
        results.left_out |= unavailable
        rounds.run(place, field, workloads.chosen(wanted, options.quick), options.rounds, options.seconds, results)
    return results


def save(results: Results, partial: bool) -> None:
    """Write JSON, tables and chart: into the repository for a complete run, under .bench/ for a partial one."""
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
    """Make missing environments before the run. Returns contender -> why it cannot take part."""
    left_out: dict[str, str] = {}
    for contender in field:
        if contender.environment:
            try:
                Environment(contender.environment).ensure()
            except Unavailable as error:
                left_out[contender.key] = str(error)
                print(f"  LEFT OUT  {contender.key}: {error}", flush=True)
    return left_out


def _reject_unknown(what: str, asked: list[str], known: Mapping[str, object]) -> None:
    if unknown := [key for key in asked if key not in known]:
        sys.exit(f"Unknown {what}: {', '.join(unknown)}. Choose from {', '.join(known)}")


if __name__ == "__main__":
    main()
