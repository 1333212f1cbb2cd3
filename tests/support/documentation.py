"""The pages that users read: the README and docs/*.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CELL = re.compile(r"(?<!\\)\|")


def text() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def rows(name: str) -> dict[str, list[str]]:
    """The rows of all tables whose first cell is a `name` in code marks, a pattern: name -> the cells behind it."""
    found: dict[str, list[str]] = {}
    for line in re.findall(rf"^\| *`{name}` *\|.*\|$", text(), re.MULTILINE):
        first, *rest = (cell.strip() for cell in CELL.split(line.strip("|")))
        assert first not in found, f"{first} has two rows"
        found[first.strip("`")] = rest
    return found
