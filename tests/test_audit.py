"""requirements/audit.py: what becomes of pip-audit's report. A package that was not looked up never counts as clean."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

judged = runpy.run_path(str(Path(__file__).parents[1] / "requirements/audit.py"))["judged"]

CLEAN = {"name": "pillow", "version": "13.0.0", "vulns": []}
SKIPPED = {"name": "uvloop", "skip_reason": "Dependency not found and could not be audited: uvloop (0.23.0)"}
BAD = {"name": "h11", "version": "0.15", "vulns": [{"id": "X-1", "aliases": ["CVE-1"], "fix_versions": ["0.16"]}]}


@pytest.mark.parametrize(
    ("entries", "strict", "code", "words"),
    [
        ([CLEAN], False, 0, "No known vulnerability in 1 packages"),
        ([CLEAN], True, 0, "No known vulnerability in 1 packages"),
        ([CLEAN, SKIPPED], False, 0, "NOT AUDITED: 1 of 2 packages were not found (uvloop)"),
        ([CLEAN, SKIPPED], True, 2, "NOT AUDITED"),
        ([BAD, SKIPPED], False, 1, "h11 0.15 has known vulnerabilities:\n  X-1 CVE-1: mended in 0.16"),
        (None, False, 0, "NOT AUDITED: nobody could be asked (no network)"),
        (None, True, 2, "NOT AUDITED"),
    ],
)
def test_the_verdict(entries: list[dict[str, Any]] | None, strict: bool, code: int, words: str) -> None:
    found, text = judged(None if entries is None else {"dependencies": entries}, "no network", strict)
    assert found == code
    assert words in text
