"""The workloads: how many digits per request, in what kind of body, over how many connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One kind of request.

    Attributes:
        key: its name on the command line and in the results.
        kind: the key of the contender's form that carries it.
        digits: digits in one request.
        connections: the numbers of connections to measure with, one after the other.
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
USUAL = {"json", "png", "raw"}  # memory is measured after these
ONLY_US = {"crowd"}  # for the service and the ceiling only: does throughput fall as connections grow?


def chosen(keys: list[str] | None, quick: bool = False) -> list[tuple[Workload, int]]:
    """(workload, connections) pairs to measure, in order. A quick run leaves out the middle number of connections.

    Raises:
        KeyError: no workload of that name.
    """
    wanted = [BY_KEY[key] for key in keys] if keys else list(WORKLOADS)
    pairs = [(workload, connections) for workload in wanted for connections in workload.connections]
    return [(w, c) for w, c in pairs if not quick or c != 16 or w.connections == (16,)]
