"""A new version is served only if it is not worse; otherwise it is published, and the reason is said."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from service.repository.writer import RepositoryWriter
from tests.training.files import csv_table, write_idx
from training.comparison import Allowance, Comparison
from training.config import TrainConfig
from training.data import loader
from training.data.digits import Digits, LabelledDigits
from training.errors import RunError
from training.evaluate import Evaluation
from training.promotion_policy import PromotionPolicy
from training.retrain import Decision, decide, resume, retrain, sentences
from training.runs import Run
from training.split import split
from training.train import begin

MakeConfig = Callable[..., TrainConfig]
USUAL = Allowance()


def on(repository: RepositoryWriter, allowance: Allowance = USUAL) -> PromotionPolicy:
    return PromotionPolicy(str(repository.root), "digits", allowance)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_nothing_served_yet(tmp_path: Path, small_config: MakeConfig, console: Console) -> None:
    repository = RepositoryWriter(tmp_path / "models")
    decision = retrain(small_config(epochs=4), tmp_path / "runs", on(repository), console)
    assert (decision.version, decision.comparison, decision.promoted) == (1, None, True)
    assert repository.current("digits") == 1
    assert "PROMOTED: digits now serves version 1: nothing was served" in console.file.getvalue()
    folder = next((tmp_path / "runs").iterdir())
    kept = json.loads((folder / "retrain.json").read_text())
    assert kept["promoted"] is True
    assert kept["allowance"] == {"tolerance_points": 0.1, "most_chance_points": 0.5}
    assert (folder / "evaluation" / "confusion.png").is_file()


def test_a_worse_one_is_published_and_not_served(
    repository: RepositoryWriter, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    """One epoch against eight, on the same digits and with the same split."""
    decision = retrain(small_config(epochs=1), tmp_path / "runs", on(repository), console)
    compared = decision.comparison
    assert compared.served_accuracy == repository.card("digits", 1)["metrics"]["validation"]["accuracy"]
    assert (compared.digits, compared.left_out, compared.fair) == (150, 0, True)
    assert compared.accuracy == decision.accuracy < compared.served_accuracy - 0.1
    assert not decision.promoted
    assert repository.current("digits") == 1
    assert repository.versions("digits") == [1, 2, 3]
    said = console.file.getvalue()
    assert "NOT PROMOTED: version 3 is published, but it is" in said
    assert "points worse than version 1 (0.1 points are tolerated" in said
    assert "python -m training promote 3" in said


def test_the_same_again_is_not_worse(
    repository: RepositoryWriter, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    decision = retrain(small_config(), tmp_path / "runs", on(repository, Allowance(0.0, 0.0)), console)
    assert decision.accuracy == decision.comparison.served_accuracy
    assert decision.comparison.chance_points == 0
    assert repository.current("digits") == decision.version == 3


def test_what_is_served_cannot_be_loaded(
    repository: RepositoryWriter, tmp_path: Path, small_config: MakeConfig, console: Console
) -> None:
    repository.model_path("digits", 1).write_bytes(b"not a model")
    decision = retrain(small_config(epochs=1), tmp_path / "runs", on(repository), console)
    assert decision.promoted
    assert "version 1, served until now, cannot be loaded" in decision.reason


def test_digits_that_taught_the_served_version_are_known(
    repository: RepositoryWriter, tmp_path: Path, handwriting: Digits, small_config: MakeConfig, console: Console
) -> None:
    """The same 1,500 digits with 297 new ones in front: the split falls otherwise, most held-out digits are known."""
    order = np.r_[1500:1797, 0:1500]
    csv_table(handwriting.pixels[order], handwriting.labels[order]).to_csv(tmp_path / "train.csv", index=False)
    decision = retrain(small_config(data=str(tmp_path), epochs=1), tmp_path, on(repository), console)
    held_out = split(loader.load(tmp_path), 0.1, 2)[1]
    taught = split(Digits(handwriting.pixels[:1500], handwriting.labels[:1500]), 0.1, 2)[0]
    known = {digit.tobytes() for digit in taught.pixels}
    unknown = sum(digit.tobytes() not in known for digit in held_out.pixels)
    assert decision.digits == 180
    assert 10 < unknown < 100
    assert not decision.comparison.fair  # fewer than 100 are left
    assert "(version 1 may have been trained on them, which favours it)" in console.file.getvalue()


def decided(comparison: Comparison | None, allowance: Allowance = USUAL, force: str = "", why: str = "") -> Decision:
    none = LabelledDigits(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8))
    evaluation = Evaluation("", {}, none, np.zeros((0, 10), np.float32), {"accuracy": 0.95, "n": 4200})
    return decide(5, evaluation, comparison, why, PromotionPolicy("models", "digits", allowance, force))


WORSE = Comparison(4, 4200, 0, True, 0.95, 0.99, 0.3)


def test_force_promotes_a_worse_one_and_says_why() -> None:
    assert not decided(WORSE).promoted
    forced = decided(WORSE, force="the old one was trained on spoilt data")
    assert forced.promoted
    said = sentences(forced, "digits").splitlines()
    assert said[0] == "version 5 reads 95.00% of 4,200 held-out digits correctly"
    assert said[1] == "on the same 4,200 digits: version 5 95.00%, version 4 99.00%"
    assert said[2].startswith(
        "PROMOTED: digits now serves version 5: forced: the old one was trained on spoilt data; it is 4.00 points worse"
    )


def test_strict_is_strict() -> None:
    """--tolerance 0 --chance 0: one digit in 4,200 is too many, and the line says what was allowed."""
    by_one = Comparison(4, 4200, 0, True, 4150 / 4200, 4151 / 4200, 0.04)
    assert decided(by_one).promoted
    strict = decided(by_one, allowance=Allowance(0.0, 0.0))
    assert not strict.promoted
    assert strict.reason == (
        "it is 0.02 points worse than version 4 "
        "(0 points are tolerated, and 0, the most that is attributed to chance, which explains 0.04)"
    )


def test_force_is_not_mentioned_where_it_was_not_needed() -> None:
    equal = Comparison(4, 4200, 0, True, 0.99, 0.99, 0.0)
    assert "forced" not in decided(equal, force="just in case").reason
    assert decided(equal).reason.startswith("both are equally good")


def test_the_sentence_names_the_digits_left_out() -> None:
    said = sentences(decided(Comparison(4, 420, 3780, True, 0.991, 0.99, 0.5)), "digits").splitlines()[1]
    assert said == "on the 420 of them that version 4 was certainly not trained on: version 5 99.10%, version 4 99.00%"


@pytest.fixture
def killed(repository: RepositoryWriter, tmp_path: Path, small_config: MakeConfig) -> Run:
    """Begun by `retrain` with a policy that differs from the default, and killed before its first epoch was over."""
    run, _, _ = begin(small_config(epochs=1), tmp_path / "runs")
    PromotionPolicy(str(repository.root), "digits", Allowance(0.2, 0.25)).save(run.folder)
    return run


def test_a_killed_retraining_is_resumed_under_its_own_policy(
    killed: Run, repository: RepositoryWriter, kaggle: Path, tmp_path: Path, console: Console
) -> None:
    assert killed.resume_command == f"python -m training retrain --resume {killed.folder}"
    moved = shutil.copytree(kaggle, tmp_path / "moved")
    TrainConfig(**vars(killed.config) | {"data": str(tmp_path / "gone")}).save(killed.folder / "config.json")
    decision = resume(killed, console, moved)
    assert (decision.version, decision.promoted, decision.allowance) == (3, False, Allowance(0.2, 0.25))
    assert "NOT PROMOTED" in console.file.getvalue()
    assert json.loads((killed.folder / "retrain.json").read_text())["version"] == 3
    with pytest.raises(RunError, match=r"is complete already; see retrain.json in it"):
        resume(killed, console)
    assert repository.versions("digits") == [1, 2, 3]


def test_killed_after_the_training_it_is_exported_and_promoted(
    runs: dict[str, Run], repository: RepositoryWriter, tmp_path: Path, console: Console
) -> None:
    shutil.copytree(runs["lecture-cnn"].folder, tmp_path / "run")
    on(repository).save(tmp_path / "run")
    assert resume(Run(tmp_path / "run"), console).promoted
    assert repository.current("digits") == 3
    assert "nothing left to do" not in console.file.getvalue()


def test_what_train_began_is_not_promoted_by_accident(runs: dict[str, Run], console: Console) -> None:
    with pytest.raises(RunError, match=r"was started by `train`, not by `retrain`. Continue it with .* then export"):
        resume(runs["lecture-cnn"], console)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every part that is read from disk, in order; the reading itself is the real one."""
    read: list[str] = []
    original = loader.load

    def counted(path: Path, part: str = "train") -> Digits:
        read.append(part)
        return original(path, part)

    monkeypatch.setattr(loader, "load", counted)
    return read


def test_the_data_are_read_once(
    loads: list[str], tmp_path: Path, handwriting: Digits, small_config: MakeConfig, console: Console
) -> None:
    """To split, train, export, evaluate and compare: the training digits once, the test digits once."""
    folder = write_idx(tmp_path / "mine", handwriting.pixels, handwriting.labels, test=100)
    repository = RepositoryWriter(tmp_path / "models")
    retrain(small_config(epochs=1, data=str(folder)), tmp_path / "runs", on(repository), console)
    assert sorted(loads) == ["test", "train"]
    assert repository.card("digits", 1)["metrics"]["test"]["n"] == 100


def test_a_resumed_retraining_reads_the_data_once(killed: Run, loads: list[str], console: Console) -> None:
    resume(killed, console)
    assert loads == ["train"]  # Kaggle's digits, which have no labelled test digits
