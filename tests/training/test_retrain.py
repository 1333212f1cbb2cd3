"""A new version is served only if it is not worse; otherwise it is published, and the reason is said."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from service.registry import Repository
from training.config import TrainConfig
from training.retrain import Decision, decide, retrain, sentence

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_nothing_served_yet(tmp_path: Path, small_config: MakeConfig, console: Console) -> None:
    repository = Repository(tmp_path / "models")
    decision = retrain(small_config(epochs=4), tmp_path / "runs", repository, "digits", 0.1, "", console)
    assert (decision.version, decision.served, decision.promoted) == (1, None, True)
    assert repository.current("digits") == 1
    assert "PROMOTED: digits now serves version 1, because nothing was served." in console.file.getvalue()
    folder = next((tmp_path / "runs").iterdir())
    assert json.loads((folder / "retrain.json").read_text())["promoted"] is True
    assert (folder / "evaluation" / "confusion.png").is_file()


def test_a_worse_one_is_published_and_not_served(
    repository: Repository, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    """One epoch against eight, on the same digits and with the same split."""
    decision = retrain(small_config(epochs=1), tmp_path / "runs", repository, "digits", 0.1, "", console)
    assert decision.served_accuracy == repository.card("digits", 1)["metrics"]["validation"]["accuracy"]
    assert decision.accuracy < decision.served_accuracy - 0.01
    assert not decision.promoted
    assert repository.current("digits") == 1
    assert repository.versions("digits") == [1, 2, 3]
    said = console.file.getvalue()
    assert "NOT PROMOTED: version 3 is published, but it is" in said
    assert "points worse than version 1; 0.1 are tolerated" in said
    assert "python -m training promote 3" in said


def test_the_same_again_is_not_worse(
    repository: Repository, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    decision = retrain(small_config(), tmp_path / "runs", repository, "digits", 0.0, "", console)
    assert decision.accuracy == decision.served_accuracy
    assert repository.current("digits") == decision.version == 3


def test_what_is_served_cannot_be_loaded(
    repository: Repository, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    repository.model_path("digits", 1).write_bytes(b"not a model")
    decision = retrain(small_config(epochs=1), tmp_path / "runs", repository, "digits", 0.1, "", console)
    assert decision.promoted
    assert "version 1, served until now, cannot be loaded" in decision.reason


@pytest.mark.parametrize(
    ("new", "old", "tolerance", "promoted"),
    [
        (0.9930, 0.9920, 0.1, True),
        (0.9920, 0.9930, 0.1, True),  # exactly the tolerance, whatever float64 makes of 99.30 - 99.20
        (0.9919, 0.9930, 0.1, False),
        (0.9929, 0.9930, 0.0, False),
        (0.9930, 0.9930, 0.0, True),
        (0.5000, 0.9930, 50.0, True),
    ],
)
def test_the_tolerance_is_in_points(new: float, old: float, tolerance: float, promoted: bool) -> None:
    decision = decide(5, new, 4, old, tolerance, "")
    assert decision.promoted is promoted
    assert f"{tolerance:g}" in decision.reason


def test_force_promotes_a_worse_one_and_says_why() -> None:
    forced = decide(5, 0.5, 4, 0.99, 0.1, "the old one was trained on spoilt data")
    assert forced.promoted
    said = sentence(forced, "digits", 4200)
    assert "PROMOTED: digits now serves version 5, because forced: the old one was trained on spoilt data" in said
    assert "version 5 reads 50.00% of 4,200 held-out digits rightly, version 4 99.00% of the same" in said


def test_force_is_not_mentioned_where_it_was_not_needed() -> None:
    assert "forced" not in decide(5, 0.99, 4, 0.99, 0.1, "just in case").reason


def test_a_sentence_where_nothing_was_served() -> None:
    said = sentence(Decision(1, 0.99, None, None, 0.1, True, "nothing was served"), "digits", 10)
    assert said.splitlines()[0] == "version 1 reads 99.00% of 10 held-out digits rightly."
