"""The progress of training on the terminal: a bar during each epoch and one line after it.

It shows `digit_accuracy`, the share of digits read correctly, not what Keras calls accuracy (see digit_accuracy.py).
"""

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress(keras.callbacks.Callback):
    """A progress bar per epoch on a terminal; in a log file only the line after each epoch."""

    def __init__(self, epochs: int, steps: int, console: Console) -> None:
        super().__init__()
        self.epochs, self.steps, self.console = epochs, steps, console

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the bar of this epoch (0-based)."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.bar.start()
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.epochs}", total=self.steps)
        self.began = time.perf_counter()
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Advance the bar and show the metrics so far."""
        logs = logs or {}
        text = (
            f"epoch {self.epoch + 1}/{self.epochs}  loss {logs['loss']:.4f}  digits right {logs['digit_accuracy']:.2%}"
        )
        self.bar.update(self.task, completed=batch + 1, description=text)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remove the bar and print one line with the metrics of the epoch."""
        self.bar.stop()
        logs = logs or {}
        self.console.print(
            f"epoch {epoch + 1:>3}/{self.epochs}  loss {logs['loss']:.4f}  digits right {logs['digit_accuracy']:.2%}"
            f"  │ validation loss {logs['val_loss']:.4f}  digits right {logs['val_digit_accuracy']:.2%}  │ "
            f"rate {logs['learning_rate']:.2g}  {time.perf_counter() - self.began:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
