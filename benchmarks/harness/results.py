"""The results of a run: every measurement, and medians and ratios over the rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """One measurement of one contender. With any error its figures are invalid."""

    contender: str
    workload: str
    connections: int
    round: int
    form: str
    digits: int
    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms: float
    errors: dict[str, int]

    @property
    def valid(self) -> bool:
        return not self.errors and self.requests > 0


@dataclass
class Results:
    """One run, in the form in which it is saved as JSON.

    Attributes:
        machine: CPU, cores, kernel, Python, versions.
        settings: rounds, seconds, cores used, model.
        facts: contender -> one dict per round: ready_s, memory_ready_mb, memory_mb, memory_end_mb, idle_cpu.
        in_process: onnxruntime without a server, measured after each bulk workload of each round.
        left_out: contender (or contender and workload) -> why it was not measured.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    facts: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    in_process: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def of(self, contender: str, workload: str, connections: int) -> list[Measurement]:
        """The measurements of one case; empty where there is none or any of them is invalid."""
        key = (contender, workload, connections)
        found = [m for m in self.measurements if (m.contender, m.workload, m.connections) == key]
        return found if all(m.valid for m in found) else []

    def median(self, contender: str, workload: str, connections: int, what: str) -> float | None:
        found = [getattr(m, what) for m in self.of(contender, workload, connections)]
        return median(found) if found else None

    def ratio(self, us: tuple[str, str, int], them: tuple[str, str, int], what: str) -> float | None:
        """Median over the rounds of us / them; each ratio is taken within one round."""
        theirs = {m.round: getattr(m, what) for m in self.of(*them)}
        ratios = [getattr(m, what) / theirs[m.round] for m in self.of(*us) if m.round in theirs]
        return median(ratios) if ratios else None

    def of_in_process(self, contender: str, workload: str, connections: int) -> float | None:
        """Digits per second as a share of onnxruntime's in-process throughput at its best batch size."""
        after = f"{workload}/{connections}"
        alone = {found["round"]: found["digits_per_second"] for found in self.in_process if found["after"] == after}
        cell = self.of(contender, workload, connections)
        ratios = [m.requests_per_second * m.digits / alone[m.round] for m in cell if m.round in alone]
        return median(ratios) if ratios else None

    def fact(self, contender: str, name: str) -> float | None:
        found = [facts[name] for facts in self.facts.get(contender, []) if name in facts]
        return median(found) if found else None

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Every measured (contender, workload, connections) once, in the order of measurement."""
        yield from dict.fromkeys((m.contender, m.workload, m.connections) for m in self.measurements)

    def invalid(self) -> Iterator[Measurement]:
        yield from (m for m in self.measurements if not m.valid)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        data = json.loads(path.read_text())
        data["measurements"] = [Measurement(**m) for m in data["measurements"]]
        return cls(**data)


def least(values: Iterator[float | None], of: Callable[[list[float]], float] = min) -> float | None:
    """The minimum (or another `of`) of the values that are not None; None where there is none."""
    found = [value for value in values if value is not None]
    return of(found) if found else None
