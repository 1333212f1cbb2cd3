"""Readiness of the server and of versions: loaded, and not draining."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.errors import NoSuchModel, Unavailable
from service.openinference.readiness import check_server, check_version
from service.settings import Settings
from tests.support.models import publish


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    publish(tmp_path)
    publish(tmp_path, name="other")
    return create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite"))


def test_ready(app: FastAPI) -> None:
    check_server(app.state.context)
    assert check_version(app.state.context, "digits") == "digits"
    assert check_version(app.state.context, "other", "1") == "other"


def test_the_server_is_ready_as_long_as_the_default_model_is(app: FastAPI) -> None:
    app.state.context.engine.unload("other")
    check_server(app.state.context)
    app.state.context.engine.unload("digits")
    with pytest.raises(Unavailable, match="unloaded"):
        check_server(app.state.context)


def test_a_draining_server_is_not_ready_and_its_versions_are(app: FastAPI) -> None:
    """Requests that arrive while a load balancer notices are still answered."""
    app.state.context.drain.leaving = True
    with pytest.raises(Unavailable, match="stopping"):
        check_server(app.state.context)
    assert check_version(app.state.context, "digits") == "digits"


@pytest.mark.parametrize(("model", "version"), [("", ""), ("nothing", ""), ("digits", "2"), ("digits", "canary")])
def test_what_is_not_served_is_not_ready(app: FastAPI, model: str, version: str) -> None:
    with pytest.raises(NoSuchModel):
        check_version(app.state.context, model, version)
