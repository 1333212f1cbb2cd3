"""The cost of metrics and logs: the service as it is, without both, and with a log line per request, interleaved.

    .venv/bin/python -m benchmarks.studies.observability [--rounds 5] [--seconds 4]

One digit as JSON and as raw bytes, 64 connections. Exits with 1 where the service as it is reaches less than 95 % of
its throughput without metrics and logs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from statistics import median

from benchmarks.harness import contenders
from benchmarks.harness.arena import Arena, opened
from benchmarks.harness.entrant import Entrant
from benchmarks.harness.options import base_parser
from benchmarks.harness.workloads import BY_KEY

FLOOR = 0.95
US = contenders.US
WITHOUT = replace(
    US, key="without", label="without metrics and logs", command=("{python}", "-m", "benchmarks.studies.unobserved")
)
EVERY = replace(
    US, key="every", label="with a log line per request", variables={**US.variables, "DIGITS_ACCESS_LOG": "1"}
)
Rates = dict[tuple[str, str], list[float]]


def main() -> None:
    parser = base_parser("python -m benchmarks.studies.observability", "The cost of metrics and logs.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per measurement (4)")
    options = parser.parse_args()
    with opened(options) as arena:
        rates = measure(arena, options.rounds, options.seconds)
    sys.exit(report(rates))


def measure(arena: Arena, rounds: int, seconds: float) -> Rates:
    """Requests per second: (contender, workload) -> one number per round."""
    rates: Rates = defaultdict(list)
    with ExitStack() as stack:
        entrants = []
        for contender in (US, WITHOUT, EVERY):
            entrants.append(Entrant(contender, arena))
            stack.callback(entrants[-1].end)
            entrants[-1].pause()
        for number in range(rounds):
            for key in ("json", "raw"):
                for entrant in entrants:
                    entrant.resume()
                    entrant.measure(BY_KEY[key], 64, 1, number)
                    found = entrant.measure(BY_KEY[key], 64, seconds, number)
                    entrant.pause()
                    if not found.valid:
                        sys.exit(f"{entrant.contender.label}: {found.errors}")
                    rates[entrant.contender.key, key].append(found.requests_per_second)
    return rates


def report(rates: Rates) -> int:
    """Print the table. Returns 0 where the floor is met, else 1."""
    print("| | JSON req/s | relative | raw req/s | relative |\n| --- | ---: | ---: | ---: | ---: |")
    held = True
    for contender in (WITHOUT, US, EVERY):
        cells = []
        for key in ("json", "raw"):
            ours, theirs = rates[contender.key, key], rates["without", key]
            share = median(a / b for a, b in zip(ours, theirs, strict=True))
            cells += [f"{median(ours):,.0f}", f"{share:.3f}"]
            held &= contender is not US or share >= FLOOR
        print(f"| {contender.label} | {' | '.join(cells)} |")
    return 0 if held else 1


if __name__ == "__main__":
    main()
