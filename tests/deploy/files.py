"""The files this folder's tests read, and what they say of settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {f"DIGITS_{name.upper()}" for name in Settings.model_fields}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def compose() -> dict[str, Any]:
    """Both Compose files as Compose merges them: no service is in both."""
    first, second = (yaml.safe_load((ROOT / name).read_text()) for name in (BASE, OVERRIDE))
    assert not first["services"].keys() & second["services"].keys()
    return {"services": first["services"] | second["services"], "volumes": first["volumes"] | second["volumes"]}


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name; the last has none."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    parts = re.split(r"^FROM ", text, flags=re.M)[1:]
    return {(re.match(r"\S+ AS (\S+)", part) or ["", ""])[1]: part for part in parts}


def lineage(stage: str) -> str:
    """The text of a stage below those that it is built on: what its image has."""
    parts = stages()
    text = parts[stage]
    while (parent := text.split()[0]) in parts:
        text = parts[parent] + text
    return text


def environment(stage: str) -> dict[str, str]:
    """The DIGITS_* of a stage's image."""
    return dict(re.findall(r"\b(DIGITS_\w+)=(\S+)", lineage(stage)))


def check_settings(values: dict[str, Any]) -> Settings:
    """DIGITS_* as the service would read them: they exist, and their values are accepted."""
    assert not values.keys() - SETTINGS, f"no such setting: {values.keys() - SETTINGS}"
    return Settings(**{name.removeprefix("DIGITS_").lower(): value for name, value in values.items()})


BASE, OVERRIDE = "docker-compose.yml", "docker-compose.override.yml"
