"""The rooms and doors of DESIGN.md, section 1: who may import whom, and what must never be loaded with the service."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEVER = [
    "tensorflow",
    "keras",
    "tf2onnx",
    "training",
    "pandas",
    "sklearn",
    "matplotlib",
    "scipy",
    "onnx",
    "torch",
    "tests",
]
NOT_AT_START = ["PIL"]
SHARED = {"registry", "plan", "model", "images", "feedback", "errors"}  # what the trainer may use of the service

# A file imports from its own floor and from those below, and never in a circle. One that stands nowhere has to be
# given its place here: that is the moment to ask whether it has one.
FLOORS: list[set[str]] = [
    {"__main__", "app"},
    {"routes", "grpc", "lane"},
    {"deps", "middleware", "watcher"},
    {"schemas", "tensors", "images", "body", "bodies", "compression", "problems", "tfserving", "v2", "choice"},
    {"recent", "drift", "board", "probe"},
    {"engine", "trial"},
    {"check", "batcher", "model", "registry", "feedback"},
    {"files", "plan", "triton", "drain", "protocol", "container", "workers", "accept"},
    {"settings", "errors", "logs", "metrics", "statistics", "apart", "request_ids"},
    {"__init__"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))


def room(path: Path) -> str:
    """service/routes/models.py belongs to routes, service/model.py is model."""
    return path.relative_to(ROOT / "service").parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Every module that a file names in an import, wherever in the file; `from service import x` is service.x."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "service" else [module]
    return found


def rooms_of(path: Path) -> set[str]:
    """The rooms of the service that a file imports from."""
    parts = [name.split(".") for name in imports(path)]
    found = {words[1] for words in parts if words[0] == "service" and len(words) > 1}
    return {name for name in found if not name.startswith("__version")}


def typing_only(path: Path) -> set[str]:
    """Rooms imported under `if TYPE_CHECKING`: for the reader, not for the program."""
    tree = ast.parse(path.read_text())
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    modules = [node.module or "" for block in blocks for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module.startswith("service.")}


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_nothing_from_further_up(path: Path) -> None:
    here = room(path)
    assert here in FLOOR, f"{here} stands on no floor of FLOORS"
    for there in rooms_of(path) - {here} - typing_only(path):
        assert there in FLOOR, f"{there} stands on no floor of FLOORS"
        assert FLOOR[there] >= FLOOR[here], f"{path.name} ({here}) imports {there}, which stands further up"


def test_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in SERVICE:
        graph.setdefault(room(path), set()).update(rooms_of(path) - {room(path)} - typing_only(path))
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_place_is_taken() -> None:
    assert set(FLOOR) == {room(path) for path in SERVICE}


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_service_never_names_what_belongs_to_training(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & set(NEVER)


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_trainer_uses_only_what_knows_no_http(path: Path) -> None:
    assert rooms_of(path) <= SHARED


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after some code."""
    code = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return set(process.stdout.split())


def test_the_service_loads_nothing_of_the_trainer() -> None:
    assert not loaded("import service.app, service.__main__") & {*NEVER, *NOT_AT_START}


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_the_trainer_shares_loads_no_http(module: str) -> None:
    assert not loaded(f"import service.{module}") & {"fastapi", "starlette", "uvicorn", *NEVER}


def test_importing_the_service_does_nothing() -> None:
    """No settings read, no file opened, no thread started: all of that is create_app's."""
    code = """
import os, threading
os.environ["DIGITS_PORT"] = "nonsense"
before = set(os.listdir("."))
import service.app, service.__main__
assert threading.active_count() == 1, threading.enumerate()
assert set(os.listdir(".")) == before
"""
    loaded(code)
