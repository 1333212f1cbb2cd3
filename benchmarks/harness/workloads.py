"""What is asked: how many digits a request, in what kind of body, over how many connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One kind of request.

    Attributes:
        key: its name on the command line and in the results.
        kind: which of a contender's forms carries it.
        digits: digits in one request.
        connections: how many connections it is measured over.
        title: its name in tables.
    """

    key: str
    kind: str
    digits: int
    connections: tuple[int, ...]
    title: str


WORKLOADS = (
    Workload("json", "json", 1, (1, 16, 64), "one digit, JSON"),
    Workload("png", "png", 1, (1, 16, 64), "one digit, PNG"),
    Workload("raw", "raw", 1, (1, 16, 64), "one digit, raw bytes"),
    Workload("crowd", "json", 1, (1000,), "one digit, JSON"),
    Workload("256", "bulk", 256, (16,), "256 digits"),
    Workload("4096", "bulk", 4096, (1, 4), "4,096 digits"),
)
BY_KEY = {workload.key: workload for workload in WORKLOADS}
USUAL = {"json", "png", "raw"}  # after these, memory is weighed
ONLY_US = {"crowd"}  # measured for us and the ceiling: the question is whether throughput falls as connections grow


def chosen(keys: list[str] | None, quick: bool = False) -> list[tuple[Workload, int]]:
    """(workload, connections) pairs to measure, in order. A quick run leaves out all but the ends.

    Raises:
        KeyError: no workload of that name.
    """
    wanted = [BY_KEY[key] for key in keys] if keys else list(WORKLOADS)
    pairs = [(workload, connections) for workload in wanted for connections in workload.connections]
    return [(w, c) for w, c in pairs if not quick or c != 16 or w.connections == (16,)]
