"""Load with large requests over a few connections; the rate is taken between completions.

wrk drops the requests that are unfinished when its time is up: with four long ones under way, a tenth of all. Here
every request is waited for, and the rate is taken between two completions in the steady state.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np

from benchmarks.harness.load import Measured

TIMEOUT_S = 120
Completion = tuple[float, float, int]  # time of completion (s), duration (s), HTTP status (0: no answer)


def post(port: int, path: str, body: bytes, headers: Mapping[str, str], connections: int, seconds: float) -> Measured:
    """Closed loop with one thread per connection, for `seconds`; every request begun is waited for."""
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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
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
    """Completions per second after each connection's first one; over the whole run where that is too short."""
    steady = [when for when in ends[connections - 1 :] if when <= end]
    if len(steady) > connections:
        return (len(steady) - 1) / (steady[-1] - steady[0])
    return len(ends) / (ends[-1] - began)
