"""Versions by number and by label: what is served answers, a canary too, a shadow never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.engine import Engine
from service.engine.resolve import answering, no_such_version, resolve_version
from service.engine.rollout import Rollout
from service.errors import NoSuchModel, Unavailable
from service.repository.rollout_plan import RolloutPlan
from service.settings import Settings
from service.telemetry.metrics import Meter
from tests.support.models import publish


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    for _ in range(3):
        publish(tmp_path, promote=False)
    publish(tmp_path)
    made = Engine(Settings(models_dir=tmp_path), Meter())
    made.start()
    yield made
    made.close()


def begin(engine: Engine, version: int, shadow: bool = False) -> None:
    engine.swap_rollout(
        "digits", Rollout(RolloutPlan(version, percent=0, shadow=shadow), engine.load("digits", version))
    )


@pytest.mark.parametrize("version", ["", "4", "stable"])
def test_the_served_version(engine: Engine, version: str) -> None:
    assert resolve_version(engine, "digits", version) is engine.served()
    begin(engine, 2)
    assert resolve_version(engine, "digits", version) is engine.served()


@pytest.mark.parametrize("version", ["2", "canary"])
def test_a_canary_by_number_and_by_label(engine: Engine, version: str) -> None:
    with pytest.raises(NoSuchModel):
        resolve_version(engine, "digits", version)
    begin(engine, 2)
    assert resolve_version(engine, "digits", version).version == 2
    assert list(answering(engine, "digits")) == ["stable", "canary"]


def test_a_shadow_never_answers(engine: Engine) -> None:
    begin(engine, 2, shadow=True)
    assert list(answering(engine, "digits")) == ["stable"]
    for version in ("2", "canary", "shadow"):
        with pytest.raises(NoSuchModel):
            resolve_version(engine, "digits", version)


@pytest.mark.parametrize("version", ["1", "04", " 4", "4.0", "-4", "Stable", "٤", "x" * 5000, "4\n"])
def test_other_texts_name_no_version(engine: Engine, version: str) -> None:
    """A version that is published and not served does not answer either."""
    with pytest.raises(NoSuchModel) as caught:
        resolve_version(engine, "digits", version)
    message = str(caught.value)
    assert "4 (stable)" in message
    assert "\n" not in message
    assert len(message) < 200


def test_the_error_lists_all_versions_that_answer(engine: Engine) -> None:
    begin(engine, 2)
    assert "4 (stable) and 2 (canary)" in str(no_such_version(engine, "digits", "9"))


def test_models_that_are_not_served(engine: Engine) -> None:
    for name in ("", "nothing", "../digits"):
        with pytest.raises(NoSuchModel):
            answering(engine, name)
    engine.unload("digits")
    with pytest.raises(Unavailable):
        resolve_version(engine, "digits")
