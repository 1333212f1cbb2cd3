"""What keys and limits per client cost: one-digit JSON requests per second over 64 connections.

    .venv/bin/python -m benchmarks.studies.access [--root CHECKOUT] [--rounds 25] [--seconds 1]

Needs wrk (apt-get install wrk) and two CPUs: the services are pinned to one, wrk to the other. All services run at the
same time, and each round asks all of them, in random order, one after the other; a ratio is the median over the rounds.
--root adds the service of another checkout, such as an older commit, to compare with.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.harness.checkout import ROOT, service
from benchmarks.harness.digits import digits
from benchmarks.harness.forms import json_body
from benchmarks.harness.load import load

CONNECTIONS = 64
MANY = "1000000"  # a limit that is counted and never reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement")
    given = parser.parse_args()
    key = secrets.token_urlsafe(32)
    keys = {"KEYS": f"me:predict:{hashlib.sha256(key.encode()).hexdigest()}"}
    limits = {"CLIENT_REQUESTS_PER_S": MANY, "CLIENT_DIGITS_PER_S": MANY}
    cases = {"all off": (ROOT, {}), "keys": (ROOT, keys), "limits": (ROOT, limits), "both": (ROOT, keys | limits)}
    if given.root:
        cases = {f"{given.root}": (given.root.resolve(), {}), **cases}
    content, headers = json_body(digits(1))
    with ExitStack() as stack:
        body = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "body"
        body.write_bytes(content)
        urls = {name: stack.enter_context(service(root, settings))[0] for name, (root, settings) in cases.items()}
        rates: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(given.rounds):
            for name in random.sample(sorted(cases), len(cases)):
                sent = {**headers, "X-API-Key": key} if "KEYS" in cases[name][1] else headers
                found = load(f"{urls[name]}/predict", body, sent, CONNECTIONS, given.seconds, core=1)
                assert not found.errors, found
                rates[name].append(found.requests_per_second)
    first = next(iter(rates.values()))
    print("| | requests/s | of the first |\n| --- | ---: | ---: |")
    for name, each in rates.items():
        print(f"| {name} | {median(each):,.0f} | {median(a / b for a, b in zip(each, first, strict=True)):.3f} |")


if __name__ == "__main__":
    main()
