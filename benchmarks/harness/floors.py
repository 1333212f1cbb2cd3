"""The performance floors of the project: measured value, floor, goal, and whether the floor is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.harness.contenders import PEERS
from benchmarks.harness.results import Results, least

PEER_KEYS = [peer.key for peer in PEERS]
JSON, PNG, RAW = ("json", 64), ("png", 64), ("raw", 64)
RATE, P50, P99 = "requests_per_second", "p50_ms", "p99_ms"
WORKLOADS = ["json", "png", "raw", "crowd", "4096"]  # those that the floors are computed from

Measure = Callable[[Results], float | None]


@dataclass(frozen=True)
class Floor:
    """One requirement: the value must be at least the floor, or at most where `least` is False."""

    what: str
    measure: Measure
    floor: float
    goal: float
    least: bool = True

    def met(self, value: float) -> bool:
        return value >= self.floor if self.least else value <= self.floor

    def reaches_goal(self, value: float) -> bool:
        return value >= self.goal if self.least else value <= self.goal


def _share(case: tuple[str, int]) -> Measure:
    return lambda results: results.ratio(("us", *case), ("ceiling", *case), RATE)


def _times(*peers: str) -> Measure:
    """Our throughput divided by that of the fastest of `peers`; one digit as JSON, 64 connections."""
    return lambda results: least(results.ratio(("us", *JSON), (peer, *JSON), RATE) for peer in peers)


def _own_p99(results: Results) -> float | None:
    return least((m.p99_ms / m.p50_ms for m in results.of("us", *JSON)), of=median)


def _p99_against_p50(results: Results) -> float | None:
    theirs = least(results.median(peer, *JSON, P50) for peer in PEER_KEYS)
    return _divide(results.median("us", *JSON, P99), theirs)


def _in_process(results: Results) -> float | None:
    return results.of_in_process("us", "4096", 4)


def _lone(results: Results) -> float | None:
    return results.ratio(("us", "json", 1), ("tutorial", "json", 1), P50)


def _crowd(results: Results) -> float | None:
    return _divide(results.median("us", "crowd", 1000, RATE), results.median("us", *JSON, RATE))


def _against_least(name: str) -> Measure:
    return lambda results: _divide(results.fact("us", name), least(results.fact(peer, name) for peer in PEER_KEYS))


def _divide(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


FLOORS = (
    Floor("one digit as JSON, 64 connections: throughput over the ceiling's", _share(JSON), 0.24, 0.36),
    Floor("one digit as raw bytes, 64 connections: throughput over the ceiling's", _share(RAW), 0.33, 0.45),
    Floor("one digit as PNG, 64 connections: throughput over the ceiling's", _share(PNG), 0.18, 0.28),
    Floor("JSON, 64 connections: throughput over the tutorial's", _times("tutorial"), 5, 5),
    Floor("JSON, 64 connections: throughput over PyTriton's", _times("pytriton"), 4, 4),
    Floor("JSON, 64 connections: throughput over MLServer's", _times("mlserver"), 8, 8),
    Floor(
        "JSON, 64 connections: throughput over LitServe's (the faster batch)", _times("litserve", "litserve16"), 10, 10
    ),
    Floor(
        "JSON, 64 connections: throughput over BentoML's (the faster setting)",
        _times("bentoml", "bentoml-batch"),
        18,
        18,
    ),
    Floor("JSON, 64 connections: p99 over p50", _own_p99, 2, 2, least=False),
    Floor("JSON, 64 connections: p99 over the lowest p50 of any peer", _p99_against_p50, 1, 1, least=False),
    Floor("JSON, 1 connection: p50 over the tutorial's", _lone, 0.45, 0.30, least=False),
    Floor(
        "4,096 digits as raw bytes, 4 connections: throughput over in-process",
        _in_process,
        0.90,
        0.97,
    ),
    Floor("start to first right answer, seconds", lambda r: r.fact("us", "ready_s"), 1.0, 1.0, least=False),
    Floor("start to first right answer, over the fastest peer's", _against_least("ready_s"), 0.5, 0.5, least=False),
    Floor("memory of one worker after load, MB", lambda r: r.fact("us", "memory_mb"), 120, 120, least=False),
    Floor("memory of one worker after load, over the smallest peer's", _against_least("memory_mb"), 1, 1, least=False),
    Floor("JSON, 1,000 connections: throughput over that at 64 (1, less noise)", _crowd, 0.95, 1.0),
)


def report(results: Results) -> tuple[str, int]:
    """The table and the exit status: 0 all met, 1 any missed, 2 none missed but some not measured."""
    lines = ["| | measured | floor | goal | |", "| --- | ---: | ---: | ---: | --- |"]
    verdicts = set()
    for floor in FLOORS:
        value = floor.measure(results)
        verdict = _verdict(floor, value)
        verdicts.add(verdict)
        shown = "–" if value is None else f"{value:,.3g}"
        sign = "≥" if floor.least else "≤"
        lines.append(f"| {floor.what} | {shown} | {sign} {floor.floor:g} | {sign} {floor.goal:g} | {verdict} |")
    return "\n".join(lines), 1 if "MISSED" in verdicts else 2 if "NOT MEASURED" in verdicts else 0


def _verdict(floor: Floor, value: float | None) -> str:
    if value is None:
        return "NOT MEASURED"
    return ("goal" if floor.reaches_goal(value) else "met") if floor.met(value) else "MISSED"
