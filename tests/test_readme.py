"""The README is held to the code: its commands run, and every setting and route stands in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.settings import Settings
from tests.support.documentation import rows, text
from tests.support.grpc_client import grpc_port
from tests.support.server import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def curls() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The shipped model, served."""
    with Server(ROOT / "models", grpc_port=0) as running:
        yield running


def digits_of(answer: dict[str, Any]) -> list[int]:
    """Of our own answer, or of TensorFlow Serving's, which is probabilities alone."""
    rows = answer["predictions"]
    return [row["digit"] if isinstance(row, dict) else row.index(max(row)) for row in rows]


@pytest.mark.parametrize("line", [line for line in curls() if "@docs/" in line])
def test_curl_lines_answer_seven(server: Server, line: str) -> None:
    command = shlex.split(line.replace(ADDRESS, server.url))
    answer = json.loads(subprocess.run([*command, "-sS", "--fail"], cwd=ROOT, capture_output=True, check=True).stdout)
    assert digits_of(answer) == [7]


def test_the_csv_line_answers_kaggles_form(server: Server, tmp_path: Path) -> None:
    (line,) = [line for line in curls() if "test.csv" in line]
    row = ",".join(["0"] * 784)
    names = ",".join(f"pixel{i}" for i in range(784))
    (tmp_path / "test.csv").write_text(f"{names}\n{row}\n{row}\n")
    command = shlex.split(line.replace(ADDRESS, server.url))
    done = subprocess.run([*command, "-sS", "--fail"], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert re.fullmatch(r"ImageId,Label\n1,\d\n2,\d\n", done.stdout)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: " ".join(code.split()[:6]))
def test_python_examples_run(server: Server, code: str) -> None:
    code = code.replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    code = code.replace("127.0.0.1:8001", f"127.0.0.1:{grpc_port(server)}")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_the_table_has_every_setting_and_no_other() -> None:
    table = rows(r"DIGITS_[A-Z_]+")
    described = {f"DIGITS_{name.upper()}": field.description for name, field in Settings.model_fields.items()}
    assert {name: description for name, (_, description) in table.items()} == described


def test_every_default_is_in_the_table() -> None:
    table = rows(r"DIGITS_[A-Z_]+")
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else str(field.default)
        assert table[f"DIGITS_{name.upper()}"][0] == default, name


def test_every_route_is_described() -> None:
    described = re.sub(r"`|\{.*?\}", "", text())
    paths = create_app(Settings(models_dir=ROOT / "models")).openapi()["paths"]
    ours = [path for path in paths if not re.match(r"/v[12](/|$)", path)]  # theirs stand in their protocols' own texts
    assert len(ours) >= 10
    assert not [path for path in ours if re.sub(r"\{.*?\}", "", path) not in described]


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"the Makefile has no target {target}"


@pytest.mark.slow
@pytest.mark.parametrize("line", re.findall(r"^python -m training ([\w-]+)", "\n".join(blocks("sh")), re.MULTILINE))
def test_training_commands_exist(line: str) -> None:
    done = subprocess.run([sys.executable, "-m", "training", line, "--help"], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
