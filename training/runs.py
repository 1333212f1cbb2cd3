"""The folder of one training run, runs/<stamp>-<architecture>/: which files it holds and how they are found.

config.json      every option                    data.json        the files learned from, with their SHA-256
history.csv      one row per epoch               tensorboard/     the same for `tensorboard --logdir runs`
model.keras      the best weights, when done     result.json      epochs, best epoch, seconds, when done
checkpoint.npz   the state after the last whole epoch
terms.json       what `retrain` was told         retrain.json     what became of the version, when done
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from training import promotion_policy
from training.config import TrainConfig
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError, RunError

RESULT = {"epochs_run", "best_epoch", "validation_digit_accuracy", "seconds", "history"}


@dataclass(frozen=True)
class Run:
    """A run folder. Properties name its files; nothing is read until asked for."""

    folder: Path

    @classmethod
    def create(cls, root: Path, config: TrainConfig, digits: Digits) -> "Run":
        """A new folder under `root` with the configuration in it, and a note of which digits it is about."""
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-{config.architecture}"
        names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, 1000))
        folder = next(root / name for name in names if not (root / name).exists())
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps(digits.files, indent=2) + "\n")
        config.save(folder / "config.json")  # last: a folder with a configuration is a run
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """An existing run. Raises RunError where the folder is not one."""
        if not (folder / "config.json").is_file():
            raise RunError(
                f"{folder} is not a run: it has no config.json. Give a folder such as runs/20250131-120000-lecture-cnn."
            )
        return cls(folder)

    @property
    def config(self) -> TrainConfig:
        """The options the run was started with."""
        return TrainConfig.load(self.folder / "config.json")

    def place(self, moved_to: Path | None = None) -> Path:
        """Where the digits lie: as said now, else as said at the start. Raises DataError where nothing lies there."""
        place = moved_to or Path(self.config.data)
        if moved_to is None and not place.exists():
            raise DataError(
                f"{place}, which {self.folder} learned from, is not there now. "
                "Say where the same files are with --data."
            )
        return place

    def digits(self, place: Path) -> Digits:
        """The digits the run is about, from where they lie now. Raises DataError where other ones lie there."""
        digits = loader.load(place)
        if set(digits.files.values()) != set(self._files().values()):
            raise DataError(
                f"{place} does not hold the digits that {self.folder} learned from (SHA-256 differs), so other digits "
                "would be held out. Put the same files there, or say where they are with --data."
            )
        return digits

    def _files(self) -> dict[str, str]:
        files = _read(self.folder / "data.json", "Train again.")
        if not files or not all(isinstance(sha256, str) for sha256 in files.values()):
            raise RunError(f"{self.folder}/data.json does not say which files were learned from. Train again.")
        return files

    @property
    def resume_command(self) -> str:
        """The command that continues the run: the one that began it."""
        began = "retrain" if (self.folder / promotion_policy.FILE).is_file() else "train"
        return f"python -m training {began} --resume {self.folder}"

    @property
    def checkpoint(self) -> Path:
        """State after the last whole epoch; there while the run is unfinished and after."""
        return self.folder / "checkpoint.npz"

    @property
    def model(self) -> Path:
        """The Keras model with the best weights; there once the run has finished."""
        return self.folder / "model.keras"

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.folder / "history.csv"

    @property
    def finished(self) -> bool:
        """Has the run written its result?"""
        return (self.folder / "result.json").is_file()

    def result(self) -> dict[str, Any]:
        """epochs_run, best_epoch, seconds and history. Raises RunError while the run is unfinished."""
        if not self.finished:
            raise RunError(f"{self.folder} has not finished. Continue it with `{self.resume_command}`.")
        advice = f"Remove it; then `{self.resume_command}` writes it anew."
        result = _read(self.folder / "result.json", advice)
        if not result.keys() >= RESULT or not isinstance(result["history"], list):
            raise RunError(f"{self.folder}/result.json does not say how the training went. {advice}")
        return result

    def save_result(self, result: dict[str, Any]) -> None:
        """Mark the run as finished. Written last and whole: a folder with a result has a model too."""
        beside = self.folder / "result.tmp"
        beside.write_text(json.dumps(result, indent=2) + "\n")
        beside.replace(self.folder / "result.json")


def _read(file: Path, advice: str) -> dict[str, Any]:
    """A JSON object of the run; an empty one for JSON of another kind. Raises RunError for what is no JSON."""
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read ({error}). {advice}") from error
    return values if isinstance(values, dict) else {}
