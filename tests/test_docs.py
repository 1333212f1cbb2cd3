"""The documentation agrees with the code: its examples run, and every setting, route, command and path in it exists.

README.md and the pages of docs/ are read block by block. A page's examples run from top to bottom in one folder, with
a service of its own. A ```json or ```text block behind a ```sh block is the answer to its last line; "…" stands for
anything. Lines that cannot run here (docker, kubectl, pip, a training) are checked: syntax, targets, options, extras,
files.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.access import commands
from service.app import create_app
from service.inputs.decoder import SCHEMAS
from service.settings import Settings
from tests.support.grpc_client import grpc_port
from tests.support.pages import FENCE, LESSONS
from tests.support.server import Server

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *LESSONS]
ADDRESS, GRPC_ADDRESS = "127.0.0.1:8000", "127.0.0.1:8001"
ADMIN_KEY = "change-me-to-your-own"
INCLUDE = re.compile(r"^```\{include\} (\S+)\n```$", re.MULTILINE)
QUICK = {"list", "promote", "rollback", "stop-trial", "prune"}  # commands of the trainer that need no TensorFlow
UNSHIPPED = {
    *map(str, range(3, 100)),
    "previous",
    "trial.json",
    "last_trial.json",
}  # what a training here may have left
ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str


def text_of(page: Path) -> str:
    """A page, with what it includes."""
    return INCLUDE.sub(lambda found: (page.parent / found[1]).read_text(), page.read_text())


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text())]


def lines(block: Block) -> list[str]:
    """The commands of a shell block, those that go on in the next line as one."""
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


ALL = "\n".join(text_of(page) for page in PAGES)
COMMANDS = [line for page in PAGES for block in blocks(page) if block.language == "sh" for line in lines(block)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# -- examples that run ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder in which a page's examples run: pictures of docs/, models, and a test.csv in Kaggle's format."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=lambda _, names: set(names) & UNSHIPPED)
    (tmp_path / "models" / "digits" / "current").write_text("1\n")
    stroke = np.zeros((28, 28), int)
    stroke[4:24, 13:16] = 255
    row = ",".join(map(str, stroke.ravel()))
    names = ",".join(f"pixel{i}" for i in range(784))
    (tmp_path / "test.csv").write_text(f"{names}\n{row}\n{row}\n")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """The shipped models, which the examples may change."""
    with Server(folder / "models", grpc_port=0, admin_key=ADMIN_KEY) as running:
        yield running


RUN = [page for page in PAGES if any(ADDRESS in block.text for block in blocks(page) if block.language != "text")]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_examples_of_a_page_run(page: Path, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    there = {"http://" + ADDRESS: server.url, ADDRESS: server.url.removeprefix("http://")}
    there[GRPC_ADDRESS] = f"127.0.0.1:{grpc_port(server)}"
    output = ""
    for block in blocks(page):
        if block.language == "sh":
            output = "".join([_run(line, there) for line in lines(block)][-1:])
        elif block.language == "python":
            subprocess.run([sys.executable, "-c", _placed(block.text, there)], check=True, timeout=60)
        elif block.language == "json":
            assert agrees(json.loads(block.text), json.loads(output)), f"{block.text} is written, {output} is answered"
        elif block.language == "text":
            assert output == block.text


def _placed(text: str, there: dict[str, str]) -> str:
    for written, address in there.items():
        text = text.replace(written, address)
    return text


def _run(line: str, there: dict[str, str]) -> str:
    """The output of a line; empty for a line that is only checked."""
    words = shlex.split(line, comments=True)
    if words[0] == "curl":
        command = [*shlex.split(_placed(line, there), comments=True), "-sS", "-w", "\n%{http_code}"]
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
        answer, _, status = done.stdout.rpartition("\n")
        assert int(status) < 400 or '"status":' in answer or '"error":' in answer, f"{line} is answered {done.stdout}"
        return answer
    if words[:3] == ["python", "-m", "training"] and words[3] in QUICK and importlib.util.find_spec("typer"):
        return _train(words[3:])
    return ""


def _train(arguments: list[str]) -> str:
    from typer.testing import CliRunner

    from training.__main__ import app

    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def agrees(written: Any, found: Any) -> bool:
    """Whether an answer is as written: numbers to 2e-4, and anything where "…" stands (as a key: other keys)."""
    if written == ANYTHING:
        return True
    if isinstance(written, dict):
        keys = written.keys() - {ANYTHING}
        complete = ANYTHING in written or keys == found.keys()
        return complete and all(key in found and agrees(written[key], found[key]) for key in keys)
    if isinstance(written, list):
        return written == [ANYTHING] or (len(written) == len(found) and all(map(agrees, written, found)))
    if isinstance(written, float):
        return math.isclose(written, found, abs_tol=2e-4)
    return bool(written == found)


@pytest.mark.parametrize(
    ("written", "found", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
        ({"a": "…"}, {"b": 1}, False),
        ([0.9999], [0.99999976], True),
        ([0.9], [0.99999976], False),
        ([1, 2], [1], False),
        (["…"], [1, 2], True),
    ],
)
def test_what_agrees(written: Any, found: Any, same: bool) -> None:
    assert agrees(written, found) is same


CODE = [
    block.text for page in PAGES if page not in [*RUN, *LESSONS] for block in blocks(page) if block.language == "python"
]


@pytest.mark.parametrize("code", CODE, ids=lambda code: " ".join(code.split()[:6]))
def test_python_that_needs_no_service_runs(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


# -- the reference ----------------------------------------------------------------------------------------------


def test_docstrings_as_restructuredtext() -> None:
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    written = ["Reads `a_` and *b*, name_.", "", "python -m training list", "", "Args:", "    c: `d`  e.", ""]
    assert conf.as_rst(written) == [
        *["Reads ``a_`` and \\*b\\*, name\\_.", ""],
        *["::", "", "    python -m training list", "", "Args:", "    c: ``d``  e.", ""],
    ]


# -- lines that are checked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shell_blocks_are_valid(page: Path) -> None:
    for block in blocks(page):
        if block.language == "sh":
            text = re.sub(r"<\w+>", "X", block.text)  # runs/<stamp>
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_are_valid(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, name_of(page), "exec")


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_a_command_exists(line: str) -> None:
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # a setting before the command
        assert words[0].partition("=")[0].removeprefix("DIGITS_").lower() in Settings.model_fields
        words.pop(0)
    program = "python -m" if words[:2] == ["python", "-m"] else words[0]
    CHECKS[program](words)


def _make(words: list[str]) -> None:
    target, *more = words[1:]
    there = re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert there, f"no target {target}"
    for arguments in (word.removeprefix("ARGS=") for word in more if word.startswith("ARGS=")):
        if target == "train":
            _trainer(["retrain", *shlex.split(arguments)])


def _module(words: list[str]) -> None:
    if words[2] == "training":
        _trainer(words[3:])
    elif words[2] == "service":
        _service(words[2:])
    else:
        assert importlib.util.find_spec(words[2])


def _trainer(words: list[str]) -> None:
    known = trainer_options()
    assert words[0] in known
    assert {word for word in words if word.startswith("--")} <= known[words[0]]


def _service(words: list[str]) -> None:
    if words[1:2] == ["keys"]:
        commands.parser().parse_args(words[2:])
        return
    flags = {word.removeprefix("--").replace("-", "_") for word in words[1:] if word.startswith("--")}
    assert flags <= Settings.model_fields.keys()


def _pip(words: list[str]) -> None:
    extras = re.findall(r"\.\[([\w,]+)\]", " ".join(words))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for found in extras for extra in found.split(",")} <= known.keys()
    for option, value in pairwise(words):
        assert option != "-r" or (ROOT / value).exists(), value


def _files(words: list[str]) -> None:
    """Files and folders of deploy/ and compose files that the line names."""
    for word in words:
        if word.startswith("deploy/") or word.endswith(".yml"):
            assert (ROOT / word).exists(), word


def _compose(words: list[str]) -> None:
    _files(words)
    text = "".join((ROOT / file).read_text() for file in ("docker-compose.yml", "docker-compose.override.yml"))
    for option, value in pairwise(words):
        if option == "--profile":
            assert f"profiles: [{value}]" in text
        if option == "--target":
            assert f" AS {value}\n" in (ROOT / "Dockerfile").read_text()


def _curl(words: list[str]) -> None:
    assert any(ADDRESS in word for word in words), "an example that no test runs"


def _serve(words: list[str]) -> None:
    module = words[-1].partition(":")[0]
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _make,
    "python -m": _module,
    "digits-serve": _service,
    "pip": _pip,
    "docker": _compose,
    "kubectl": _files,
    "serve": _serve,
    "curl": _curl,
    "deploy/scale/replace": _files,
}


def trainer_options() -> dict[str, set[str]]:
    """The commands of `python -m training`, each with its options."""
    typer = pytest.importorskip("typer", reason="the trainer is not installed")
    from training.__main__ import app

    commands: dict[str, Any] = typer.main.get_command(app).commands
    return {
        name: {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        for name, command in commands.items()
    }


# -- everything is documented -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table(name: str) -> None:
    row = re.search(rf"^\| `DIGITS_{name.upper()}` \| (.*?) \| (.*?) \|$", ALL, re.MULTILINE)
    assert row, f"DIGITS_{name.upper()} is missing from the settings in docs/run.md"
    assert row[2] == Settings.model_fields[name].description
    default = Settings.model_fields[name].default
    assert row[1] == ("none" if default is None else str(default))


@pytest.mark.parametrize("media_type", SCHEMAS)
def test_every_body_type_is_in_the_table(media_type: str) -> None:
    table = (ROOT / "docs" / "predict.md").read_text().partition("## Every body")[2].partition("### JSON")[0]
    assert f"`{media_type}`" in table


def test_every_route_is_documented() -> None:
    written = set(re.findall(r"`(?:GET|POST) (\S+?)`", re.sub(r"\{.*?\}", "{}", ALL)))
    paths = create_app(Settings(models_dir=ROOT / "models")).openapi()["paths"]
    assert len(paths) >= 40
    assert not {re.sub(r"\{.*?\}", "{}", path) for path in paths} - written


def test_every_command_of_the_trainer_is_documented() -> None:
    assert not trainer_options().keys() - set(re.findall(r"python -m training ([\w-]+)", ALL))


@pytest.mark.parametrize("command", ["train", "retrain"])
def test_every_option_of_training_is_documented(command: str) -> None:
    written = set(re.findall(r"`(--[\w-]+)`", (ROOT / "docs" / "retrain.md").read_text()))
    assert not trainer_options()[command] - written - {"--help"}


def test_every_target_of_make_is_documented() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert not set(targets) - set(re.findall(r"\bmake ([a-z-]+)", ALL))


# -- everything that is named exists ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_placeholders_are_in_code(page: Path) -> None:
    """Markdown takes <name> in a sentence for an HTML tag, and shows nothing."""
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))
    assert re.findall(r"<(?!http)[^>\n]+>", text) == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


PATHS = r"(?:service|training|tests|benchmarks|deploy|docs|models|requirements|\.ci)/[\w./-]*\w/?"


@pytest.mark.parametrize("path", sorted(set(re.findall(rf"`({PATHS})`", ALL))))
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).exists()
