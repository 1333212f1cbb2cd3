"""The repository index: every published version, its state, and the reason why it is not served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.errors import BadRequest
from service.openinference.index import check_load_parameters, index
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from tests.support.models import publish

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """Version 2 of digits is served, version 1 is not; `waiting` has never been promoted."""
    publish(tmp_path)
    publish(tmp_path)
    publish(tmp_path, name="waiting", promote=False)
    return create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite"))


def states(app: FastAPI, only_ready: bool = False) -> dict[tuple[str, str], tuple[str, str]]:
    found = asyncio.run(index(app.state.context, only_ready))
    assert all(list(entry) == ["name", "version", "state", "reason"] for entry in found)
    return {(entry["name"], entry["version"]): (entry["state"], entry["reason"]) for entry in found}


def test_served_and_other_versions(app: FastAPI) -> None:
    assert states(app) == {
        ("digits", "1"): ("UNAVAILABLE", "another version is promoted"),
        ("digits", "2"): ("READY", ""),
        ("waiting", "1"): ("UNAVAILABLE", "no version is promoted"),
    }
    assert states(app, only_ready=True) == {("digits", "2"): ("READY", "")}


def test_an_unloaded_model(app: FastAPI) -> None:
    app.state.context.engine.unload("digits")
    assert {reason for (name, _), (_, reason) in states(app).items() if name == "digits"} == {"unloaded"}
    assert states(app, only_ready=True) == {}


def test_a_promoted_version_that_is_not_served_yet_and_one_that_is_rejected(app: FastAPI, tmp_path: Path) -> None:
    RepositoryWriter(tmp_path).promote("digits", 1)
    assert states(app)["digits", "1"] == ("UNAVAILABLE", "it is being loaded")
    assert states(app)["digits", "2"] == ("READY", "")
    (tmp_path / "digits/1/model.onnx").write_bytes(b"not a model")
    asyncio.run(app.state.context.watcher.look())
    state, reason = states(app)["digits", "1"]
    assert (state, "SHA-256" in reason) == ("UNAVAILABLE", True)


def test_a_served_version_whose_files_are_gone_is_still_listed(app: FastAPI, tmp_path: Path) -> None:
    for file in (tmp_path / "digits/2").iterdir():
        file.unlink()
    (tmp_path / "digits/2").rmdir()
    assert states(app)["digits", "2"] == ("READY", "")


@pytest.mark.parametrize("shadow", [False, True])
def test_a_canary_is_ready_and_a_shadow_is_not(app: FastAPI, tmp_path: Path, shadow: bool) -> None:
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(1, percent=0, shadow=shadow, min_digits=10**9))
    asyncio.run(app.state.context.watcher.look())
    assert app.state.context.engine.rollout("digits")
    assert states(app)["digits", "1"][0] == ("UNAVAILABLE" if shadow else "READY")
    app.state.context.engine.close()


@pytest.mark.parametrize("only_ready", ["true", 1, None, []])
def test_ready_must_be_a_boolean(app: FastAPI, only_ready: Any) -> None:
    with pytest.raises(BadRequest, match="true or false"):
        asyncio.run(index(app.state.context, only_ready))


@pytest.mark.parametrize("parameters", [{}, {"note": 1}, {"configuration": {}}, {"my file:": 1}])
def test_load_parameters_that_do_not_matter(parameters: dict[str, Any]) -> None:
    check_load_parameters(parameters)


@pytest.mark.parametrize("key", ["config", "file:1/model.onnx", "file:" + "x" * 5000])
def test_load_parameters_that_would_override_the_model(key: str) -> None:
    with pytest.raises(BadRequest, match="not supported") as caught:
        check_load_parameters({"note": 1, key: "x"})
    assert len(str(caught.value)) < 150
