"""The rounds of a run: in each, all contenders start one by one, then take turns at every workload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmarks.harness.arena import Arena
from benchmarks.harness.contenders import Contender
from benchmarks.harness.entrant import Entrant
from benchmarks.harness.environments import Unavailable
from benchmarks.harness.results import Results
from benchmarks.harness.server import Failed
from benchmarks.harness.workloads import USUAL, Workload

Pairs = list[tuple[Workload, int]]
WARM_UP_S = 1.0  # of the same load, before each measurement


def run(arena: Arena, contenders: Iterable[Contender], pairs: Pairs, rounds: int, seconds: float, out: Results) -> None:
    """Measure into `out`, interleaved: A B C, A B C …. A failing contender is printed and noted in `out.left_out`."""
    field = list(contenders)
    for number in range(1, rounds + 1):
        print(f"\nRound {number} of {rounds}", flush=True)
        with entered(arena, [c for c in field if c.key not in out.left_out], out) as entrants:
            usual = [pair for pair in pairs if pair[0].key in USUAL]
            for workload, connections in usual:
                _take_turns(entrants, workload, connections, seconds, number, out)
            _note_memory(entrants, out, "memory_mb")
            for workload, connections in [pair for pair in pairs if pair not in usual]:
                _take_turns(entrants, workload, connections, seconds, number, out)
                if workload.kind == "bulk":
                    _in_process(arena, f"{workload.key}/{connections}", seconds, number, out)
            _note_memory(entrants, out, "memory_end_mb")


@contextmanager
def entered(arena: Arena, contenders: list[Contender], out: Results) -> Iterator[list[Entrant]]:
    """The contenders that could be started, suspended; all are ended on exit."""
    entrants: list[Entrant] = []
    try:
        for contender in contenders:
            try:
                entrant = Entrant(contender, arena)
            except (Failed, Unavailable) as error:
                leave_out(out, contender.key, str(error))
                continue
            entrants.append(entrant)
            out.versions[contender.key] = arena.version(contender)
            facts = {
                "ready_s": entrant.started_in,
                "memory_ready_mb": entrant.memory_ready_mb,
                "idle_cpu": entrant.idle_cpu(),
            }
            out.facts.setdefault(contender.key, []).append(facts)
            print(f"  {contender.label}: ready in {entrant.started_in:.2f} s", flush=True)
            entrant.pause()
        yield entrants
    finally:
        for entrant in entrants:
            entrant.end()


def leave_out(out: Results, key: str, why: str) -> None:
    """Print and note why a contender, or one workload of it, is not measured."""
    print(f"  LEFT OUT  {key}: {why}", flush=True)
    out.left_out[key] = why


def _take_turns(
    entrants: list[Entrant], workload: Workload, connections: int, seconds: float, number: int, out: Results
) -> None:
    print(f"  {workload.title}, {connections} connection{'s' * (connections > 1)}", flush=True)
    for entrant in entrants:
        key = entrant.contender.key
        if not entrant.takes(workload) or f"{key}/{workload.key}" in out.left_out:
            continue
        entrant.resume()
        try:
            entrant.check(workload)
            if seconds > WARM_UP_S:
                entrant.measure(workload, connections, WARM_UP_S, number)
                entrant.check(workload)
            found = entrant.measure(workload, connections, seconds, number)
        except Failed as error:
            leave_out(out, f"{key}/{workload.key}", str(error))
        else:
            out.measurements.append(found)
            figures = f"{found.requests_per_second:>10,.0f} req/s  p50 {found.p50_ms:.2f} ms  p99 {found.p99_ms:.2f} ms"
            print(
                f"    {entrant.contender.label:36} {figures}{'' if found.valid else f'  INVALID {found.errors}'}",
                flush=True,
            )
        finally:
            entrant.pause()


def _in_process(arena: Arena, after: str, seconds: float, number: int, out: Results) -> None:
    found = arena.in_process(seconds)
    out.in_process.append({**found, "round": number, "after": after})
    print(f"    {'onnxruntime in-process':36} {found['digits_per_second']:>10,.0f} digits/s", flush=True)


def _note_memory(entrants: list[Entrant], out: Results, name: str) -> None:
    for entrant in entrants:
        out.facts[entrant.contender.key][-1][name] = entrant.memory_mb()
