"""The parts of the harness that make no load: modules, environments, cores, and what wrk prints."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

import pytest

from benchmarks.harness import contenders, environments, load, machine

FOLDER = Path(__file__).parents[2] / "benchmarks"
MODULES = sorted(path.stem for path in (FOLDER / "harness").glob("[a-z]*.py"))
PEERS = sorted((FOLDER / "peers").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_the_module_can_be_imported(name: str) -> None:
    if name == "chart":
        pytest.importorskip("matplotlib")
    if name == "command":
        pytest.importorskip("matplotlib", reason="it draws the chart")
    importlib.import_module(f"benchmarks.harness.{name}")


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_a_peer_is_python_that_tells_what_it_is(path: Path) -> None:
    """Peers run in environments of their own, so that here they can only be parsed."""
    assert (ast.get_docstring(ast.parse(path.read_text())) or "").startswith("Peer: ")


@pytest.mark.parametrize("name", ["driver", *environments.PEERS])
def test_an_environment_has_exact_pins(name: str) -> None:
    lines = environments.Environment(name).requirements.read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "-"))]
    assert pins
    assert all("==" in pin for pin in pins)


def test_every_peer_has_an_environment_and_every_environment_a_peer() -> None:
    assert {peer.environment for peer in contenders.PEERS} == set(environments.PEERS)


def test_the_pythons_of_the_service_and_of_the_commands_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SERVICE_PYTHON", "/opt/python")
    assert environments.service_python() == Path("/opt/python")
    monkeypatch.delenv("BENCH_SERVICE_PYTHON")
    assert environments.service_python().exists()


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environments.Unavailable, match="wrk is not installed: apt-get install wrk"):
        environments.require_tools()


def test_one_core_cannot_be_both() -> None:
    core = min(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match="two cores are needed"):
        machine.cores(core, core)


def test_what_wrk_prints_becomes_figures() -> None:
    line = '{"requests": 500, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 4.0, "max_ms": 9.0, "connect": 0, "read": 0, '
    found = load.parse("Running 2s test\n\n" + line + '"write": 0, "status": 3, "timeout": 0}\n')
    assert found.requests_per_second == 250
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (1.5, 4.0, 9.0)
    assert found.errors == {"status": 3}


def test_wrk_is_pinned_and_gets_the_script_and_the_headers() -> None:
    line = load.command("http://127.0.0.1:1/predict", Path("/tmp/body"), {"Content-Type": "image/png"}, 64, 2.4, 1)
    assert line[:4] == ["taskset", "-c", "1", "wrk"]
    assert "-c64" in line
    assert "-d2s" in line
    assert line[-2:] == ["/tmp/body", "Content-Type: image/png"]
    assert load.SCRIPT.is_file()
