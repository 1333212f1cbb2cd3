"""Small requests beside big ones: how long one digit takes while another client posts 10,000 at a time.

python -m benchmarks.studies.latency_mix
One connection sends single digits as JSON, in a closed loop and at 50 a second; meanwhile nobody, or one client back to
back with 10,000-digit bodies, raw or JSON. Exit 1 where p99 is more than 3 times its unloaded value.
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

MANY, PACE, FLOOR = 10_000, 1 / 50, 3.0
Encode = Callable[[Pixels], forms.Body]
BESIDE: dict[str, Encode | None] = {"nobody": None, "raw bodies": forms.raw_body, "JSON bodies": forms.json_body}
Case = tuple[str, str]  # who else asks; how the single digits come


def main() -> None:
    parser = base_parser("python -m benchmarks.studies.latency_mix", "Single digits beside big bodies.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, pooled (3)")
    parser.add_argument("--seconds", type=float, default=6, help="seconds a case and round (6)")
    options = parser.parse_args()
    with opened(options) as arena:
        took = measure(arena, options.rounds, options.seconds)
    sys.exit(report(took))


def measure(arena: Arena, rounds: int, seconds: float) -> dict[Case, list[float]]:
    """Milliseconds of every single-digit request, by case."""
    took: dict[Case, list[float]] = defaultdict(list)
    us = Entrant(contenders.US, arena)
    try:
        for _ in range(rounds):
            for beside, encode in BESIDE.items():
                for how, pace in (("closed loop", 0.0), ("50 a second", PACE)):
                    with beside_it(us, arena, encode, seconds + 2):
                        took[beside, how] += singles(us.port, seconds, pace)
    finally:
        us.end()
    return took


def singles(port: int, seconds: float, pace: float) -> list[float]:
    """Post one digit again and again over one connection; `pace` is the time from one to the next, 0 for at once."""
    body, headers = forms.json_body(digits(1))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.perf_counter()))
        began = due if pace else time.perf_counter()  # at a pace, waiting for a late answer counts too
        connection.request("POST", "/predict", body, headers)
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise SystemExit(f"A single digit was answered {answer.status}.")
        took.append((time.perf_counter() - began) * 1000)
        due = due + pace if pace else time.perf_counter()
    connection.close()
    return took


def beside_it(us: Entrant, arena: Arena, encode: Encode | None, seconds: float) -> AbstractContextManager[None]:
    return posting(us, arena, encode, seconds) if encode else nullcontext()


@contextmanager
def posting(us: Entrant, arena: Arena, encode: Encode, seconds: float) -> Iterator[None]:
    """Meanwhile wrk posts big bodies over one connection, politely (nice), so that it never delays the clock."""
    body, headers = encode(digits(MANY))
    file = arena.scratch / "many"
    file.write_bytes(body)
    line = ["nice", "-n", "10", *wrk(f"{us.address}/predict", file, headers, 1, seconds, arena.load_core)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as big:
        time.sleep(1)
        yield
        found = parse(big.communicate(timeout=seconds + 120)[0])
    if found.errors or not found.requests:
        raise SystemExit(f"The big bodies failed: {found.errors or 'none was answered'}.")


def report(took: dict[Case, list[float]]) -> int:
    """Print the table; 0 where every p99 is within the floor."""
    titles = ["single digits", "requests", "p50 ms", "p99 ms", "p99, times unloaded", ""]
    print(f"| {MANY:,} digits back to back beside it | {' | '.join(titles)} |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    missed = False
    for (beside, how), times in took.items():
        p50, p99 = np.percentile(times, [50, 99])
        ratio = p99 / np.percentile(took["nobody", how], 99)
        verdict = "" if beside == "nobody" else "met" if ratio <= FLOOR else "MISSED"
        missed |= verdict == "MISSED"
        print(f"| {beside} | {how} | {len(times):,} | {p50:.2f} | {p99:.2f} | {ratio:.2f} | {verdict} |")
    return int(missed)


if __name__ == "__main__":
    main()
