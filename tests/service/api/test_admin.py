"""Promote and rollback: a body is rejected, not ignored. What they do is tested with the watcher and in test_models."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.support.asgi import call
from tests.support.models import publish

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

KEY = {"Authorization": "Bearer a-long-enough-key"}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    publish(tmp_path, shift=1)
    publish(tmp_path, shift=2)
    settings = {"models_dir": tmp_path, "feedback_path": tmp_path / "f.sqlite", "admin_key": KEY["Authorization"][7:]}
    return create_app(Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("body", [b'{"version": 1}', b"1", b"version=1", b"[]"])
@pytest.mark.parametrize("path", ["/models/digits/rollback", "/models/digits/versions/1/promote"])
def test_a_body_is_rejected(app: FastAPI, path: str, body: bytes) -> None:
    answer = call(app, "POST", path, body, KEY)
    assert (answer.status, answer.json()["field"]) == (422, "body")
    assert "without one" in answer.json()["detail"]
    assert call(app, "GET", "/models/digits").json()["current"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"", b"{}", b" {} "])
def test_no_body_or_an_empty_object_is_accepted(app: FastAPI, body: bytes) -> None:
    assert call(app, "POST", "/models/digits/rollback", body, KEY).json()["current"] == 1


def test_a_large_body_is_too_large_and_the_key_comes_first(app: FastAPI) -> None:
    assert call(app, "POST", "/models/digits/rollback", b" " * 70_000, KEY).status == 413
    assert call(app, "POST", "/models/digits/rollback", b'{"version": 1}').status == 401
