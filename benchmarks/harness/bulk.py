"""Big requests over a few connections, timed from completion to completion.

wrk counts what finished within its time; with a handful of long requests the ones cut off at the end would be a tenth
of all. Here the rate is taken between two completions of the steady state, and nothing is abandoned in a queue.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np

from benchmarks.harness.load import Measured

PATIENCE = 120
Completion = tuple[float, float, int]  # when, how long it took, HTTP status


def post(port: int, path: str, body: bytes, headers: Mapping[str, str], connections: int, seconds: float) -> Measured:
    """Closed loop over `connections`, one thread each, until `seconds` have passed and the last one is answered."""
    began = time.perf_counter()

    def one_connection(_: int) -> list[Completion]:
        return _loop(port, path, body, headers, began + seconds)

    with ThreadPoolExecutor(connections) as pool:
        done = sorted(chain.from_iterable(pool.map(one_connection, range(connections))))
    took = [took for _, took, _ in done]
    failed = sum(status != 200 for _, _, status in done)
    return Measured(
        requests=len(done),
        requests_per_second=_rate([when for when, _, _ in done], connections, began, began + seconds),
        p50_ms=float(np.percentile(took, 50)) * 1000,
        p99_ms=float(np.percentile(took, 99)) * 1000,
        max_ms=max(took) * 1000,
        errors={"status": failed} if failed else {},
    )


def _loop(port: int, path: str, body: bytes, headers: Mapping[str, str], end: float) -> list[Completion]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    done: list[Completion] = []
    while not done or time.perf_counter() < end:
        began = time.perf_counter()
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            status = 0
        now = time.perf_counter()
        done.append((now, now - began, status))
        if not status:
            break
    connection.close()
    return done


def _rate(ends: list[float], connections: int, began: float, end: float) -> float:
    """Completions a second once every connection has had its first, up to the end of the time; else over all."""
    steady = [when for when in ends[connections - 1 :] if when <= end]
    if len(steady) > connections:
        return (len(steady) - 1) / (steady[-1] - steady[0])
    return len(ends) / (ends[-1] - began)
