"""The pre-commit hooks run the same commands as `make lint`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def linted() -> list[str]:
    """The commands of the target lint."""
    rule = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule
    return [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in rule[1].splitlines()]


def test_the_hooks_are_the_commands_of_make_lint() -> None:
    assert [hook["entry"] for hook in HOOKS] == linted()


def test_hooks_need_no_network_and_see_the_whole_project() -> None:
    """A hook of another language would download tools; mypy on the changed files only would miss errors in others."""
    assert {(hook["language"], hook["pass_filenames"]) for hook in HOOKS} == {("system", False)}


def test_pre_commit_takes_the_configuration() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
