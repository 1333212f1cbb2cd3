"""The training options are defined once: a field of TrainConfig is a flag of `train` and of `retrain`."""

import sys
from pathlib import Path

import pytest

from tests.training.command_line import Typed
from training import options
from training.config import train_options

MODEL = ["data", "architecture", "epochs", "batch-size", "optimizer", "learning-rate", "schedule", "patience"]
ORDER = [*MODEL, "augment", "seed", "feedback", "feedback-weight", "runs", "resume"]


@pytest.mark.parametrize("command", ["train", "retrain"])
def test_every_training_option_is_in_the_help(command: str, typed: Typed) -> None:
    shown = " ".join(typed(command, "--help").out.replace("│", " ").split())
    for option in train_options():
        assert f"--{option.name.replace('_', '-')} " in shown
        if option.choices:
            assert f"<{'|'.join(option.choices.names)}>" in shown


def test_the_options_come_behind_data_in_the_order_of_their_fields(typed: Typed) -> None:
    words = typed("train", "--help").out.split()
    flags = [word for word in words if word.startswith("--") and word in {f"--{n}" for n in ORDER}]
    assert list(dict.fromkeys(flags)) == [f"--{name}" for name in ORDER]


REFUSED = [
    (["--learning-rate", "11"], "Input should be less than or equal to 10"),
    (["--feedback-weight", "0"], "Input should be greater than or equal to 1"),
    (["--optimizer", "sgd"], "'sgd' is not one of 'adam', 'rmsprop'"),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_values_outside_the_limits_are_usage_errors(words: list[str], sentence: str, typed: Typed) -> None:
    done = typed("train", *words)
    assert (done.code, sentence in " ".join(done.err.replace("│", " ").split())) == (2, True)


def test_absolute_paths_are_cut_in_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the model's card, which is public."""
    words = ["train", "--data", "/home/me/my digits", "--runs=/srv/runs", "--epochs", "3", "data/kaggle"]
    monkeypatch.setattr(sys, "argv", [str(Path("training")), *words])
    assert options.typed() == 'python -m training train --data "my digits" --runs=runs --epochs 3 data/kaggle'
