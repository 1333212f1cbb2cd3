"""The folder of one training run, runs/<time>-<architecture>/, and the files in it.

config.json      every option                       data.json      the files trained on, with their SHA-256
history.csv      one row per epoch                  tensorboard/   the same for `tensorboard --logdir runs`
checkpoint.npz   the state after the last complete epoch
model.keras      the best weights, once finished    result.json    epochs, best epoch, seconds, once finished
terms.json       the promotion policy of `retrain`  retrain.json   the decision of `retrain`, once made
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
from training.split import Split

RESULT = {"epochs_run", "best_epoch", "validation_digit_accuracy", "seconds", "history"}


@dataclass(frozen=True)
class Run:
    """A run folder. Creating the object reads nothing; properties name the files."""

    folder: Path

    @classmethod
    def create(cls, root: Path, config: TrainConfig, digits: Digits) -> "Run":
        """A new folder under `root`, holding the configuration and the SHA-256 of the files with the digits."""
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-{config.architecture}"
        names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, 1000))
        folder = next(root / name for name in names if not (root / name).exists())
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps(digits.files, indent=2) + "\n")
        config.save(folder / "config.json")  # written last: a folder with a configuration counts as a run
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

    def split(self, moved_to: Path | None = None) -> Split:
        """The digits of the run, read again and split as at its start; `moved_to` is where the files are now.

        Raises DataError where the files are missing or are not the ones that the run was started with.
        """
        source = moved_to or Path(self.config.data)
        if moved_to is None and not source.exists():
            raise DataError(
                f"{source}, which {self.folder} was trained on, does not exist any more. "
                "Give the place of the same files with --data."
            )
        digits = loader.load(source)
        if set(digits.files.values()) != set(self._files().values()):
            raise DataError(
                f"{source} does not hold the digits that {self.folder} was trained on (SHA-256 differs), so other "
                "digits would be held out. Put the same files there, or give their place with --data."
            )
        return Split.of(digits, source, self.config)

    def _files(self) -> dict[str, str]:
        files = _read(self.folder / "data.json", "Train again.")
        if not files or not all(isinstance(sha256, str) for sha256 in files.values()):
            raise RunError(f"{self.folder}/data.json does not name the files that were trained on. Train again.")
        return files

    @property
    def resume_command(self) -> str:
        """The command that continues the run, for messages."""
        began = "retrain" if (self.folder / promotion_policy.FILE).is_file() else "train"
        return f"python -m training {began} --resume {self.folder}"

    @property
    def checkpoint(self) -> Path:
        """The state after the last complete epoch; kept after the run has finished."""
        return self.folder / "checkpoint.npz"

    @property
    def model(self) -> Path:
        """The Keras model with the best weights; exists once the run has finished."""
        return self.folder / "model.keras"

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.folder / "history.csv"

    @property
    def finished(self) -> bool:
        """Whether the run has written its result."""
        return (self.folder / "result.json").is_file()

    def result(self) -> dict[str, Any]:
        """epochs_run, best_epoch, seconds and history. Raises RunError while the run is unfinished."""
        if not self.finished:
            raise RunError(f"{self.folder} has not finished. Continue it with `{self.resume_command}`.")
        advice = f"Remove it; then `{self.resume_command}` writes it again."
        result = _read(self.folder / "result.json", advice)
        if not result.keys() >= RESULT or not isinstance(result["history"], list):
            raise RunError(f"{self.folder}/result.json does not hold the result of a training. {advice}")
        return result

    def save_result(self, result: dict[str, Any]) -> None:
        """Write result.json, which marks the run as finished. Call it last; the file appears complete or not at all."""
        temporary = self.folder / "result.tmp"
        temporary.write_text(json.dumps(result, indent=2) + "\n")
        temporary.replace(self.folder / "result.json")


def _read(file: Path, advice: str) -> dict[str, Any]:
    """The JSON object in the file, or {} for other JSON. Raises RunError, ending in `advice`, for anything else."""
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read ({error}). {advice}") from error
    return values if isinstance(values, dict) else {}
