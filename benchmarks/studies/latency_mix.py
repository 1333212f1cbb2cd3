"""Latency of single digits while another client posts 10,000 digits per request.

    .venv/bin/python -m benchmarks.studies.latency_mix [--rounds 3] [--seconds 6]

One connection sends single digits as JSON, in a closed loop and at 50 per second. Meanwhile another connection is
absent, or posts 10,000-digit bodies in a closed loop, raw or JSON. Exits with 1 where p99 is more than 3 times its
value without the other connection.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from benchmarks.harness import contenders, forms
from benchmarks.harness.arena import Arena, opened
from benchmarks.harness.digits import Pixels, digits
from benchmarks.harness.entrant import Entrant
from benchmarks.harness.load import command as wrk
from benchmarks.harness.load import parse
from benchmarks.harness.options import base_parser

MANY, PACE_S, LIMIT = 10_000, 1 / 50, 3.0
Encode = Callable[[Pixels], forms.Body]
OTHER_CLIENTS: dict[str, Encode | None] = {"nobody": None, "raw bodies": forms.raw_body, "JSON bodies": forms.json_body}
Case = tuple[str, str]  # the other client's bodies; how the single digits are sent


def main() -> None:
    parser = base_parser(
        "python -m benchmarks.studies.latency_mix", "Latency of single digits while large bodies are posted."
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, pooled (3)")
    parser.add_argument("--seconds", type=float, default=6, help="seconds per case and round (6)")
    options = parser.parse_args()
    with opened(options) as arena:
        took = measure(arena, options.rounds, options.seconds)
    sys.exit(report(took))


def measure(arena: Arena, rounds: int, seconds: float) -> dict[Case, list[float]]:
    """Latency in ms of every single-digit request, by case."""
    took: dict[Case, list[float]] = defaultdict(list)
    us = Entrant(contenders.US, arena)
    try:
        for _ in range(rounds):
            for other, encode in OTHER_CLIENTS.items():
                for how, pace in (("closed loop", 0.0), ("50 per second", PACE_S)):
                    with other_client(us, arena, encode, seconds + 2):
                        took[other, how] += singles(us.port, seconds, pace)
    finally:
        us.end()
    return took


def singles(port: int, seconds: float, pace: float) -> list[float]:
    """Latencies (ms) of one digit posted repeatedly, every `pace` seconds; 0 posts the next at once."""
    body, headers = forms.json_body(digits(1))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.perf_counter()))
        began = due if pace else time.perf_counter()  # at a pace, a delayed start counts as latency
        connection.request("POST", "/predict", body, headers)
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise SystemExit(f"A single digit was answered with status {answer.status}.")
        took.append((time.perf_counter() - began) * 1000)
        due = due + pace if pace else time.perf_counter()
    connection.close()
    return took


def other_client(us: Entrant, arena: Arena, encode: Encode | None, seconds: float) -> AbstractContextManager[None]:
    return posting(us, arena, encode, seconds) if encode else nullcontext()


@contextmanager
def posting(us: Entrant, arena: Arena, encode: Encode, seconds: float) -> Iterator[None]:
    """In this context wrk posts large bodies over one connection, at low priority so as not to delay the timing."""
    body, headers = encode(digits(MANY))
    file = arena.scratch / "many"
    file.write_bytes(body)
    line = ["nice", "-n", "10", *wrk(f"{us.address}/predict", file, headers, 1, seconds, arena.load_core)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as big:
        time.sleep(1)
        yield
        found = parse(big.communicate(timeout=seconds + 120)[0])
    if found.errors or not found.requests:
        raise SystemExit(f"The large bodies failed: {found.errors or 'none was answered'}.")


def report(took: dict[Case, list[float]]) -> int:
    """Print the table. Returns 0 where every p99 is within the limit, else 1."""
    titles = ["single digits", "requests", "p50 ms", "p99 ms", "p99 over unloaded", ""]
    print(f"| {MANY:,}-digit bodies meanwhile | {' | '.join(titles)} |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    missed = False
    for (other, how), times in took.items():
        p50, p99 = np.percentile(times, [50, 99])
        ratio = p99 / np.percentile(took["nobody", how], 99)
        verdict = "" if other == "nobody" else "met" if ratio <= LIMIT else "MISSED"
        missed |= verdict == "MISSED"
        print(f"| {other} | {how} | {len(times):,} | {p50:.2f} | {p99:.2f} | {ratio:.2f} | {verdict} |")
    return int(missed)


if __name__ == "__main__":
    main()
