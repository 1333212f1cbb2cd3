"""A real run, small: what it learns, what it leaves in its folder, and that the same seed gives the same weights."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

from service.errors import FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore
from tests.training.files import write_idx
from training import heads
from training.batches import normalise
from training.config import TrainConfig
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError, RunError
from training.export import load_keras
from training.runs import Run
from training.split import split
from training.train import begin, compiled_model, finish, train

MakeConfig = Callable[..., TrainConfig]
HEADS = {"lecture-cnn": heads.TWICE, "ten-way": heads.ONE_HOT}


@pytest.mark.parametrize("name", HEADS)
def test_it_learns_to_read(name: str, runs: dict[str, Run], kaggle: Path) -> None:
    """Trained on 1,350 digits, measured on 150 held-out ones: guessing would give 10 %."""
    held_out = split(loader.load(kaggle), 0.1, 2)[1]
    said = HEADS[name].decode(load_keras(runs[name]).predict(normalise(held_out.pixels), verbose=0)).argmax(axis=1)
    right = (said == held_out.labels).mean()
    assert right > 0.85
    assert runs[name].result()["validation_digit_accuracy"] == pytest.approx(right)


def test_the_run_folder(runs: dict[str, Run], small_config: MakeConfig) -> None:
    run = runs["lecture-cnn"]
    assert run.folder.name.endswith("-lecture-cnn")
    assert run.config == small_config()
    names = {"config.json", "data.json", "history.csv", "checkpoint.npz", "model.keras", "result.json", "tensorboard"}
    assert {entry.name for entry in run.folder.iterdir()} == names
    assert list(run.folder.glob("tensorboard/*/events.out.tfevents.*"))
    assert list(json.loads((run.folder / "data.json").read_text())) == ["train.csv"]


def test_the_history_is_one_row_per_epoch(runs: dict[str, Run]) -> None:
    run = runs["ten-way"]
    with run.history.open() as stream:
        rows = list(csv.DictReader(stream))
    columns = {"epoch", "loss", "digit_accuracy", "val_loss", "val_digit_accuracy", "learning_rate"}
    assert set(rows[0]) == columns
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2


def test_the_seed_decides_the_weights_to_begin_with(small_config: MakeConfig) -> None:
    """That it decides all the rest too is what test_resume.py shows: two runs of one seed end with the same weights."""

    def begin(seed: int) -> list[np.ndarray]:
        return compiled_model(small_config(seed=seed)).get_weights()

    first, again, other = begin(5), begin(5), begin(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first[::2], other[::2], strict=True))  # biases begin at 0


def test_training_stops_early_and_goes_back_to_the_best(tmp_path: Path, small_config: MakeConfig, kaggle: Path) -> None:
    """A rate so large that nothing is learned: the second epoch is worse than the first, and patience 1 ends it."""
    options = {"architecture": "ten-way", "epochs": 30, "learning_rate": 0.3, "patience": 1, "augment": False}
    run = train(small_config(**options), tmp_path, Console(quiet=True))
    result = run.result()
    losses = [row["val_loss"] for row in result["history"]]
    assert result["best_epoch"] == int(np.argmin(losses)) + 1 == len(losses) - 1 < 29
    held_out = split(loader.load(kaggle), 0.1, 2)[1]
    images, targets = normalise(held_out.pixels), heads.ONE_HOT.encode(held_out.labels)
    figures = load_keras(run).evaluate(images, targets, verbose=0, return_dict=True)
    assert figures["loss"] == pytest.approx(min(losses), rel=1e-4) != pytest.approx(losses[-1], rel=1e-3)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path: Path, small_config: MakeConfig) -> None:
    """The first step is 1e30 long, which --learning-rate does not accept: the sums of the next step overflow."""
    run, parts, model = begin(small_config(epochs=10, patience=10), tmp_path)
    model.optimizer.learning_rate = 1e30
    with pytest.raises(RunError, match=r"The loss is nan in epoch \d+. Try a smaller --learning-rate"):
        finish(run, parts, model, Console(quiet=True))


@pytest.mark.parametrize(("name", "kind"), [("adam", keras.optimizers.Adam), ("rmsprop", keras.optimizers.RMSprop)])
def test_the_optimizer_is_the_one_asked_for(name: str, kind: type) -> None:
    model = compiled_model(TrainConfig(optimizer=name, learning_rate=0.004))
    assert type(model.optimizer) is kind
    assert float(model.optimizer.learning_rate) == pytest.approx(0.004)
    assert model.loss == "categorical_crossentropy"


def test_wrong_data_make_no_run_folder(tmp_path: Path, small_config: MakeConfig, kaggle: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        train(small_config(data=str(tmp_path / "nowhere")), tmp_path / "runs", Console(quiet=True))
    with pytest.raises(RunError, match="architecture must be one of lecture-cnn, ten-way"):
        train(small_config(architecture="vgg"), tmp_path / "runs", Console(quiet=True))
    with pytest.raises(DataError, match=r"test.csv: no labels"):
        train(small_config(data=str(kaggle / "test.csv")), tmp_path / "runs", Console(quiet=True))
    with pytest.raises(FeedbackUnavailable, match=r"There is no feedback file missing.sqlite"):
        train(small_config(feedback=str(tmp_path / "missing.sqlite")), tmp_path / "runs", Console(quiet=True))
    assert not (tmp_path / "runs").exists()


def test_damaged_test_digits_are_noticed_before_the_training(
    tmp_path: Path, small_config: MakeConfig, handwriting: Digits
) -> None:
    folder = write_idx(tmp_path / "mine", handwriting.pixels, handwriting.labels, test=100)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte"):
        train(small_config(data=str(folder)), tmp_path / "runs", Console(quiet=True))
    assert not (tmp_path / "runs").exists()


def test_corrected_digits_are_counted_on_the_screen_and_in_the_result(
    tmp_path: Path, small_config: MakeConfig, handwriting: Digits
) -> None:
    with closing(FeedbackStore(tmp_path / "f.sqlite")) as store:
        for picture in handwriting.pixels[-2:]:  # not in train.csv
            store.add(Correction(picture, 7))
    console = Console(file=io.StringIO(), width=200)
    config = small_config(epochs=1, feedback=str(tmp_path / "f.sqlite"), feedback_weight=4)
    run = train(config, tmp_path / "runs", console)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == f"{run.folder}: 1,350 digits to learn from, 150 held out"
    assert lines[1] == "and 2 corrected digits, 4 times each"
    assert run.result()["feedback"] == {"digits": 2, "weight": 4, "left_out_as_held_out": 0}
