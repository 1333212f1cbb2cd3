"""Does the memory of the service grow under a long load?

    .venv/bin/python -m benchmarks.studies.soak [--requests 1000000]

Sends one-digit requests as JSON, raw bytes and PNG in turn, over 64 connections. Exits with 1 where memory grew by more
than ALLOWED_MB after the first 100,000 requests, or where a request failed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import cycle

from benchmarks.harness import contenders, workloads
from benchmarks.harness.arena import Arena, opened
from benchmarks.harness.entrant import Entrant
from benchmarks.harness.options import base_parser

STEP = 100_000
SLICE = 3.0  # seconds per kind of request, in turn
ALLOWED_MB = 5.0


def main() -> None:
    parser = base_parser("python -m benchmarks.studies.soak", "Memory over many requests.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many requests (1,000,000)")
    parser.add_argument("--limit", type=float, default=1200, help="stop after this many seconds (1200)")
    parser.add_argument("--connections", type=int, default=64, help="connections (64)")
    options = parser.parse_args()
    with opened(options) as arena:
        readings = list(soak(arena, options.requests, options.limit, options.connections))
    sys.exit(verdict(readings, options.requests))


def soak(arena: Arena, requests: int, limit: float, connections: int) -> Iterator[tuple[int, float]]:
    """Yield (requests so far, MB) at the start, after every 100,000 requests and at the end."""
    us = Entrant(contenders.US, arena)
    try:
        began, done, mark = time.monotonic(), 0, 0
        kinds = cycle(workloads.BY_KEY[key] for key in ("json", "raw", "png"))
        print(f"{'requests':>12} {'seconds':>9} {'MB':>8}", flush=True)
        while True:
            last = done >= requests or time.monotonic() - began > limit
            if done >= mark or last:
                mark = (done // STEP + 1) * STEP
                reading = us.memory_mb()
                print(f"{done:>12,} {time.monotonic() - began:>9.0f} {reading:>8.1f}", flush=True)
                yield done, reading
            if last:
                return
            workload = next(kinds)
            us.check(workload)
            found = us.measure(workload, connections, SLICE, 0)
            if not found.valid:
                sys.exit(f"{workload.title}: {found.errors or 'no request finished'}")
            done += found.requests
    finally:
        us.end()


def verdict(readings: list[tuple[int, float]], requests: int) -> int:
    """Print the growth. Returns 0 where it is within the allowance and all requests were made, else 1."""
    settled = next((mb for done, mb in readings if done >= STEP), None)
    done, end = readings[-1]
    if settled is None or len(readings) < 3:
        print(f"Too short: {done:,} requests; growth is measured after the first {STEP:,}.")
        return 1
    grown = end - settled
    print(f"{grown:+.1f} MB between {STEP:,} and {done:,} requests ({ALLOWED_MB:g} MB allowed).")
    if done < requests:
        print(f"The time limit was reached before {requests:,} requests.")
    return int(grown > ALLOWED_MB or done < requests)


if __name__ == "__main__":
    main()
