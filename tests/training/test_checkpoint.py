"""A run is killed with SIGKILL, resumed, and ends where it would have ended."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from training.config import TrainConfig
from training.errors import DataError, RunError
from training.export import load_keras
from training.runs import Run
from training.train import resume, train

QUIET = Console(quiet=True)
MakeConfig = Callable[..., TrainConfig]

LEARNING = {"epochs": 5, "schedule": "cosine", "seed": 3}  # dropout and distortion draw numbers, moments matter
STUCK = {"epochs": 6, "learning_rate": 0.05, "seed": 3}  # plateau counts three epochs without gain, then halves


def run_and_kill(folder: Path, data: Path, options: dict[str, object], after_epoch: int) -> Run:
    """The run from the command line, killed as soon as that epoch is over."""
    options = {"batch_size": 32, "learning_rate": 0.003, "data": data, "runs": folder} | options
    typed = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-u", "-m", "training", "train", *typed]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            if line.startswith(f"epoch   {after_epoch}/"):
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return Run(next(folder.glob("*-lecture-cnn")))


def assert_same(run: Run, other: Run) -> None:
    """Same history, same best epoch, same weights to the bit."""
    assert run.result()["history"] == other.result()["history"]
    assert run.result()["best_epoch"] == other.result()["best_epoch"]
    for a, b in zip(load_keras(run).get_weights(), load_keras(other).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small_config: MakeConfig) -> Run:
    """The run as it goes when nobody disturbs it."""
    return train(small_config(**LEARNING), tmp_path_factory.mktemp("whole"), QUIET)


def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, kaggle: Path, whole: Run) -> None:
    killed = run_and_kill(tmp_path, kaggle, LEARNING, after_epoch=3)
    assert not killed.finished
    assert 2 <= len(killed.history.read_text().splitlines()) - 1 <= 4
    resume(killed, QUIET)
    assert_same(killed, whole)


def test_the_counters_of_plateau_survive(tmp_path: Path, kaggle: Path, small_config: MakeConfig) -> None:
    """Killed after the fourth epoch: the fifth has a smaller rate only if the three without gain are remembered."""
    undisturbed = train(small_config(**STUCK), tmp_path / "whole", QUIET)
    rates = [round(row["learning_rate"], 4) for row in undisturbed.result()["history"]]
    assert rates[:5] == [0.05, 0.05, 0.05, 0.05, 0.025]
    killed = run_and_kill(tmp_path / "killed", kaggle, STUCK, after_epoch=4)
    resume(killed, QUIET)
    assert_same(killed, undisturbed)


def test_a_finished_run_is_left_alone(whole: Run) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.folder.iterdir()}
    assert resume(whole, QUIET) is whole
    assert {file: file.stat().st_mtime_ns for file in whole.folder.iterdir()} == before


@pytest.fixture
def unfinished(whole: Run, tmp_path: Path) -> Run:
    """Killed after its last epoch, before the result was written."""
    shutil.copytree(whole.folder, tmp_path / whole.folder.name)
    run = Run(tmp_path / whole.folder.name)
    (run.folder / "result.json").unlink()
    run.model.unlink()
    return run


def test_killed_after_the_last_epoch_it_still_gets_the_best_weights(unfinished: Run, whole: Run) -> None:
    (unfinished.folder / "checkpoint.tmp").write_bytes(b"a checkpoint half written")
    resume(unfinished, QUIET)
    assert_same(unfinished, whole)


def test_killed_after_it_stopped_early_it_goes_back_to_the_best(tmp_path: Path, small_config: MakeConfig) -> None:
    """The best epoch is not the last: its weights have to be in the checkpoint beside those of the last."""
    options = {"architecture": "ten-way", "epochs": 30, "learning_rate": 0.3, "patience": 1, "augment": False}
    run = train(small_config(**options), tmp_path, QUIET)
    assert run.result()["best_epoch"] < run.result()["epochs_run"] < 30
    shutil.copytree(run.folder, tmp_path / "killed")
    killed = Run(tmp_path / "killed")
    (killed.folder / "result.json").unlink()
    killed.model.unlink()
    resume(killed, QUIET)
    assert_same(killed, run)


def test_killed_before_the_first_epoch_it_starts_over(unfinished: Run, whole: Run) -> None:
    unfinished.checkpoint.unlink()
    resume(unfinished, QUIET)
    assert_same(unfinished, whole)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_refused(content: bytes, unfinished: Run) -> None:
    unfinished.checkpoint.write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint.npz cannot be read .*Start the run again without --resume"):
        resume(unfinished, QUIET)


def test_other_data_are_refused(unfinished: Run, tmp_path: Path, kaggle: Path) -> None:
    lines = (kaggle / "train.csv").read_text().splitlines(keepends=True)
    (tmp_path / "train.csv").write_text("".join(lines[:-1]))
    config = unfinished.config
    TrainConfig(**(vars(config) | {"data": str(tmp_path)})).save(unfinished.folder / "config.json")
    with pytest.raises(DataError, match="does not hold the digits that"):
        resume(unfinished, QUIET)


def test_moved_data_are_found(unfinished: Run, whole: Run, kaggle: Path, tmp_path: Path) -> None:
    gone = TrainConfig(**(vars(unfinished.config) | {"data": str(tmp_path / "gone")}))
    gone.save(unfinished.folder / "config.json")
    with pytest.raises(DataError, match=r"gone, which .* was trained on, does not exist any more. Give .* with --data"):
        resume(unfinished, QUIET)
    resume(unfinished, QUIET, shutil.copytree(kaggle, tmp_path / "moved"))
    assert_same(unfinished, whole)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config.json"):
        Run.open(tmp_path)
