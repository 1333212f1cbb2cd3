"""Metadata of the server and of versions, and Triton's configuration: outputs and versions follow what is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI

from service import __version__
from service.app import create_app
from service.errors import NoSuchModel, Unavailable
from service.openinference.metadata import model_config, model_metadata, server_metadata
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from tests.support.models import publish
from tests.support.v2 import publish_with_lecture_output


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """Version 1 is served; version 2, which also has the lecture's output, is a canary."""
    publish(tmp_path)
    publish_with_lecture_output(tmp_path, promote=False)
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=0, min_digits=10**9))
    settings = Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite", max_instances=123)
    made = create_app(settings)
    asyncio.run(made.state.context.watcher.look())
    return made


def test_the_server() -> None:
    found = server_metadata()
    assert (found["name"], found["version"]) == ("digit-recognizer", __version__)
    assert "statistics" in found["extensions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "outputs"),
    [
        ("", ["probabilities"]),
        ("1", ["probabilities"]),
        ("stable", ["probabilities"]),
        ("2", ["probabilities", "lecture_output"]),
        ("canary", ["probabilities", "lecture_output"]),
    ],
)
def test_a_version_lists_its_own_outputs_and_all_served_versions(
    app: FastAPI, version: str, outputs: list[str]
) -> None:
    found = model_metadata(app.state.context.engine, "digits", version)
    assert found["versions"] == ["1", "2"]
    assert found["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}]
    assert [output["name"] for output in found["outputs"]] == outputs
    config = model_config(app.state.context, "digits", version)
    assert [output["name"] for output in config["output"]] == outputs
    assert config["version_policy"] == {"specific": {"versions": [1, 2]}}
    assert config["max_batch_size"] == 123
    assert [group["kind"] for group in config["instance_group"]] == ["KIND_CPU"]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "version"), [("", ""), ("nothing", ""), ("digits", "3"), ("digits", "latest")])
def test_models_and_versions_that_are_not_served(app: FastAPI, model: str, version: str) -> None:
    for read in (
        lambda: model_metadata(app.state.context.engine, model, version),
        lambda: model_config(app.state.context, model, version),
    ):
        with pytest.raises(NoSuchModel):
            read()


def test_an_unloaded_model(app: FastAPI) -> None:
    app.state.context.engine.unload("digits")
    with pytest.raises(Unavailable, match="unloaded"):
        model_metadata(app.state.context.engine, "digits")
