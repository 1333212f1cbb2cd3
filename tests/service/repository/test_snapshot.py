"""What the repository holds of one model: whole, ill, ignored, never promoted."""

from __future__ import annotations

import os

import pytest

from service.errors import Unavailable
from service.repository.rollout_plan import RolloutPlan
from service.repository.snapshot import Snapshot, entries, snapshot
from service.repository.writer import RepositoryWriter
from tests.support.repositories import publish


def test_a_model_with_a_canary(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    repository.promote("digits", 1)
    plan = RolloutPlan(2, percent=5)
    repository.start_rollout("digits", plan)
    found = snapshot(repository, "digits")
    assert (found.versions, found.current, found.plan, found.trouble) == ([1, 2], 1, plan, "")
    assert found.labels == repository.labels("digits") == {"stable": 1, "canary": 2}
    assert found.is_model
    assert not found.rollout_is_over


def test_a_model_that_was_never_promoted_has_no_trouble(repository: RepositoryWriter) -> None:
    publish(repository)
    found = snapshot(repository, "digits")
    assert (found.versions, found.current, found.trouble) == ([1], None, "")
    assert found.is_model
    assert "promoted" in found.error


@pytest.mark.parametrize("name", ["nothing", "file", "..", "a\0b", "digits/1"])
def test_what_is_no_model(repository: RepositoryWriter, name: str) -> None:
    publish(repository)
    (repository.root / "file").write_text("no folder")
    assert not snapshot(repository, name).is_model


@pytest.mark.parametrize("name", ["my.model", "my model", "größe"])
def test_a_folder_whose_name_is_none_says_so(repository: RepositoryWriter, name: str) -> None:
    (repository.root / name).mkdir(parents=True)
    found = snapshot(repository, name)
    assert name in found.trouble
    assert "Rename it." in found.trouble
    assert name in entries(repository)


def test_links_to_themselves_hide_no_other_version(repository: RepositoryWriter) -> None:
    publish(repository)
    repository.promote("digits", 1)
    (repository.root / "digits/2").symlink_to("2")
    (repository.root / "loop").symlink_to("loop")
    found = snapshot(repository, "digits")
    assert (found.versions, found.current) == ([1], 1)
    assert found.trouble == "Version 2 of digits cannot be read (Too many levels of symbolic links)."
    assert "cannot be read" in snapshot(repository, "loop").trouble


def test_a_folder_of_models_that_is_not_there_or_cannot_be_read(repository: RepositoryWriter) -> None:
    with pytest.raises(Unavailable, match="not there"):
        entries(repository)
    os.symlink("models", repository.root)
    with pytest.raises(Unavailable, match="symbolic links"):
        entries(repository)


def test_an_empty_folder_of_models(repository: RepositoryWriter) -> None:
    repository.root.mkdir()
    assert entries(repository) == []
    assert not Snapshot().is_model
