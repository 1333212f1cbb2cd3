"""The tables and floors of the stored runs, made again from their JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import floors, table
from benchmarks.harness.results import Results

STORED = Path(__file__).parents[2] / "benchmarks" / "results"
RUNS = sorted(STORED.glob("*.json"))
WHOLE = STORED / "2026-11-24-2231.json"  # the run that latest.md shows


def rows(page: str) -> list[str]:
    """The lines of all tables that hold figures; a header has an empty first cell or dashes."""
    return [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("|  |", "| ---"))]


def test_the_stored_page_has_the_figures_of_its_run() -> None:
    page = (STORED / "latest.md").read_text()
    made = rows(table.report(Results.load(WHOLE)))
    assert len(made) > 80
    assert made == rows(page)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_stored_run_is_saved_as_it_was_read(path: Path, tmp_path: Path) -> None:
    results = Results.load(path)
    results.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()


def test_the_floors_of_the_whole_run() -> None:
    """The figures are those that benchmarks/README.md shows of this run."""
    page, status = floors.report(Results.load(WHOLE))
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()[2:]]
    measured = [row[1] for row in found]
    assert measured[:3] == ["0.486", "0.573", "0.399"]
    assert "NOT MEASURED" not in page
    assert [row[4] for row in found].count("MISSED") == 4
    assert status == 1


def test_a_floor_that_is_missed_outweighs_one_that_was_not_measured() -> None:
    results = Results.load(STORED / "2026-11-24-2308.json")  # the service, the ceiling and the tutorial only
    page, status = floors.report(results)
    assert "| NOT MEASURED |" in page
    assert "| MISSED |" in page
    assert status == 1
    assert "MLServer" not in table.report(results)


def test_what_was_not_measured_does_not_pass() -> None:
    whole = Results.load(WHOLE)
    page, status = floors.report(Results(whole.machine, whole.settings))
    assert page.count("| NOT MEASURED |") == len(floors.FLOORS)
    assert status == 2


def test_a_measurement_with_errors_gives_no_figures() -> None:
    results = Results.load(WHOLE)
    spoilt = results.of("us", "json", 64)[0]
    spoilt.errors["timeout"] = 1
    assert results.median("us", "json", 64, "p50_ms") is None
    assert results.ratio(("us", "json", 64), ("ceiling", "json", 64), "p50_ms") is None
    line = f"- us, json over 64 connections, round {spoilt.round}: invalid, {{'timeout': 1}}"
    assert line in table.report(results)
