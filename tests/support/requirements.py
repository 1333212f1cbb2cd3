"""Reads requirements/*.txt: which packages, in which versions, with how many hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pin:
    """One locked package: `marker` says on which systems ("" on all), `hashes` are those of its files."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def pins(path: Path) -> list[Pin]:
    """What the file locks. Raises ValueError at a line of another form."""
    text = re.sub(r" *\\\n *", " ", path.read_text())
    return [_pin(line) for line in text.splitlines() if line and not line.startswith("#")]


def packages(path: Path) -> set[str]:
    return {pin.name for pin in pins(path)}


def _pin(line: str) -> Pin:
    found = re.fullmatch(r"([a-z0-9-]+)==([^ ]+)(?: ; (.*?))?((?: --hash=sha256:[0-9a-f]{64})*)", line)
    if found is None:
        raise ValueError(f"neither a pin nor a comment: {line[:100]}")
    name, version, marker, hashes = found.groups()
    return Pin(name, version, marker or "", tuple(hashes.split()))
