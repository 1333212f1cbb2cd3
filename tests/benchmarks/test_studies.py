"""Every study starts in a process of its own; those that take a second at most are run on a small scale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.stem for path in (ROOT / "benchmarks" / "studies").glob("[a-z]*.py") if path.stem != "unobserved")


def run(*arguments: str) -> str:
    """Standard output of this Python with `arguments`. Skips the test where a package of an extra is missing."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    missing = re.search(r"No module named '(\w+)", done.stderr)
    if done.returncode and missing and missing[1] not in {"benchmarks", "service", "training"}:
        pytest.skip(f"{missing[1]} is not installed")
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(page: str) -> list[list[str]]:
    """The rows of a Markdown table, without its two header lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()[2:]]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_it_tells_its_options(study: str) -> None:
    assert "usage:" in run("-m", f"benchmarks.studies.{study}", "--help")


def test_the_benchmark_tells_its_options_with_the_standard_library_alone() -> None:
    """Any Python starts it: -S hides every installed package, and no environment is made for --help."""
    page = run("-S", "-m", "benchmarks", "--help")
    assert all(option in page for option in ("--only", "--quick", "--workloads", "--floors", "--report"))


@pytest.mark.slow
def test_the_stages_reach_the_service_and_get_right_answers() -> None:
    """The study calls internals of the service, so it is what a renaming breaks first."""
    rows = cells(run("-m", "benchmarks.studies.stages", "--repeats", "1", "--together", "2"))
    assert len(rows) == 7
    assert all(float(figure) > 0 for _, *figures in rows for figure in figures)


def test_imports_measures_every_step() -> None:
    rows = cells(run("-m", "benchmarks.studies.imports", "--rounds", "1"))
    memory = [float(row[3]) for row in rows]
    assert len(rows) == 10
    assert memory[-1] > 2 * memory[0]  # the last step has loaded the model, the first is Python alone


PROGRAM = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
from service.app import create_app
from service.settings import Settings
from tests.support.asgi import call
app = create_app(Settings(feedback_path=sys.argv[1]))
assert call(app, body=bytes(784), headers={"content-type": "application/octet-stream"}).status == 200
print(call(app, "GET", "/metrics").body.decode())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("modules", "counted"), [((), True), (("benchmarks.studies.unobserved",), False)])
def test_unobserved_takes_the_metrics_out(tmp_path: Path, modules: tuple[str, ...], counted: bool) -> None:
    page = run("-c", PROGRAM, str(tmp_path / "feedback.sqlite"), *modules)
    assert "digits_predictions_total" in page
    assert ('route="/predict"' in page) is counted
