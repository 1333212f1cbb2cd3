"""The state of an unfinished run, saved after every epoch: killing the process costs one epoch at most.

One file holds the weights, the optimizer's averages, the state of dropout's random numbers, the best weights so far,
the counters of the callbacks and the history: everything that the next epoch depends on. So a resumed run gives the
same weights as one that was never killed.
"""

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.errors import RunError

COUNTERS = ("best", "best_epoch", "wait", "cooldown_counter")  # of EarlyStopping and ReduceLROnPlateau

History = list[dict[str, float]]


def read_state(file: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint: epochs_done, seconds, history, counters. Raises RunError for a damaged file."""
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            return dict(json.loads(str(arrays["state"])))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"{file} cannot be read ({error}). Start the run again without --resume.") from error


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch and restores at the start. The last of the callbacks: the others count before it."""

    def __init__(self, file: Path, stopping: keras.callbacks.EarlyStopping, schedule: keras.callbacks.Callback) -> None:
        super().__init__()
        self.file, self.stopping, self.schedule = file, stopping, schedule
        self.history: History = []
        self.seconds_before = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the saved state. Keras has just reset the other callbacks, so their counters can be set now."""
        if self.file.exists():
            self._restore()
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the state to a temporary file, then rename it: a kill leaves the old state or the new, never half."""
        self.history.append({"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}})
        arrays = {f"variable_{i}": np.asarray(variable) for i, variable in enumerate(self._variables())}
        best = {f"best_{i}": weights for i, weights in enumerate(self.stopping.best_weights or [])}
        temporary = self.file.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, state=np.array(json.dumps(self._state())), **arrays, **best)
            stream.flush()
            os.fsync(stream.fileno())  # on disk before the rename: a power failure must not leave an empty file
        temporary.replace(self.file)

    @property
    def seconds(self) -> float:
        """Time spent in training, all parts of a resumed run together."""
        return self.seconds_before + time.perf_counter() - self.began

    def _variables(self) -> list[Any]:
        """Weights, dropout's random state, and the optimizer's averages, learning rate and step count."""
        # Weights alone are not enough. Adam without its averages would take its first steps blindly again, and dropout
        # with a new random state would switch off other values: the resumed run would end elsewhere.
        return [*self.model.variables, *self.model.optimizer.variables]

    def _state(self) -> dict[str, Any]:
        return {
            "epochs_done": len(self.history),
            "stopped": bool(self.model.stop_training),
            "seconds": self.seconds,
            "history": self.history,
            "counters": [
                {name: vars(each)[name] for name in COUNTERS if name in vars(each)} for each in self._counting()
            ],
        }

    def _counting(self) -> tuple[keras.callbacks.Callback, keras.callbacks.Callback]:
        return self.stopping, self.schedule

    def _restore(self) -> None:
        state = read_state(self.file)
        self.history, self.seconds_before = state["history"], state["seconds"]
        for callback, counters in zip(self._counting(), state["counters"], strict=True):
            vars(callback).update(counters)
        with np.load(self.file) as arrays:
            for i, variable in enumerate(self._variables()):
                variable.assign(arrays[f"variable_{i}"])
            self.stopping.best_weights = [arrays[f"best_{i}"] for i in range(len(self.model.weights))]
