"""Settings: every one has a flag, an environment variable, a default and a word of help; a flag wins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings

PROMISED = {
    "host": "127.0.0.1",
    "port": 8000,
    "models_dir": Path("models"),
    "model": "digits",
    "provider": "auto",
    "workers": 1,
    "admin_key": None,
}
UNITS = ("_bytes", "_s", "_ms", "_rows", "_pixels", "_instances", "_connections", "_per_client", "_files")


@pytest.mark.parametrize(("name", "default"), PROMISED.items())
def test_what_users_and_scripts_rely_on(name: str, default: Any) -> None:
    assert getattr(Settings(), name) == default


@pytest.mark.parametrize(("name", "field"), Settings.model_fields.items())
def test_every_setting_is_described(name: str, field: Any) -> None:
    assert field.description
    assert field.description.endswith(".")
    assert not field.is_required()
    assert not name.startswith("max_") or name.endswith(UNITS), "its unit belongs into its name"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", "0", 0),
        ("PORT", "65535", 65535),
        ("MODELS_DIR", "/srv/models", Path("/srv/models")),
        ("MODEL", "letters", "letters"),
        ("PROVIDER", "cuda", "cuda"),
        ("WORKERS", "4", 4),
        ("MAX_BODY_BYTES", "1024", 1024),
        ("LOG_LEVEL", "debug", "debug"),
    ],
)
def test_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any) -> None:
    monkeypatch.setenv(f"DIGITS_{name}", text)
    assert getattr(Settings(), name.lower()) == value
    flag = f"--{name.lower().replace('_', '-')}"
    assert getattr(Settings(_cli_parse_args=[flag, text]), name.lower()) == value  # type: ignore[call-arg]


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_PORT", "1111")
    monkeypatch.setenv("DIGITS_MODEL", "letters")
    settings = Settings(_cli_parse_args=["--port", "2222"])  # type: ignore[call-arg]
    assert (settings.port, settings.model) == (2222, "letters")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("port", text) for text in ("abc", "-1", "65536", "80.5", "", "0x50")],
        *[("workers", text) for text in ("0", "-1", "many", "257")],
        *[("provider", text) for text in ("tpu", "CUDA", "")],
        *[("log_level", text) for text in ("loud", "INFO", "")],
        *[
            (name, "0")
            for name in ("max_body_bytes", "max_instances", "max_queue_rows", "max_image_pixels", "max_files")
        ],
        *[("body_timeout_s", text) for text in ("0", "-1", "soon", "nan")],
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"DIGITS_{name.upper()}", text)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_the_admin_key_is_not_shown() -> None:
    settings = Settings(admin_key="a secret of some length")  # type: ignore[arg-type]
    assert "a secret" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_an_empty_admin_key_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DIGITS_ADMIN_KEY= in a compose file means no key, not the key of no characters."""
    monkeypatch.setenv("DIGITS_ADMIN_KEY", "")
    try:
        key = Settings().admin_key
    except ValidationError:
        return
    assert key is None


def test_names_read_well_as_flags() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in Settings.model_fields)


@pytest.mark.parametrize("text", ["exporter", "onnx", "Loop", "exporter,Loop, If", "ai.onnx:Loop,ai.onnx.ml:Scaler"])
def test_operators_of_onnx_can_be_allowed(text: str) -> None:
    assert Settings(allowed_operators=text).allowed_operators == text


@pytest.mark.parametrize("text", ["", "com.microsoft:Gelu", "Loop,com.microsoft:Gelu", "onnx,Loop", "loop", "Loop;If"])
def test_custom_domains_and_slips_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no custom domains"):
        Settings(allowed_operators=text)
