"""The lecture's training, step by step: load, normalise, encode, split, model, optimizer, augmentation, fit.

python -m training train --architecture lecture-cnn --epochs 30
"""

import csv
import math
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from training import architectures, batches, schedules
from training.checkpoint import Checkpoint, History, read_state
from training.config import TrainConfig
from training.data import loader
from training.digit_accuracy import digit_accuracy
from training.errors import RunError
from training.export import rehearse
from training.progress import EpochProgress
from training.runs import Run
from training.split import Lesson, prepare

REHEARSED = 100  # digits to compare before the first epoch; export compares all that are held out
OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def train(config: TrainConfig, runs: Path, console: Console) -> Run:
    """Start a run under `runs` and take it to its end. Raises DataError, ExportError or RunError."""
    return finish(*begin(config, runs), console)


def begin(config: TrainConfig, runs: Path) -> tuple[Run, Lesson, keras.Model]:
    """Everything before the first epoch: what cannot be trained says so here, and leaves no run folder."""
    architecture = architectures.find(config.architecture)  # a wrong name should fail before the data are read
    digits = loader.load(Path(config.data))
    if loader.has_labelled_test(Path(config.data)):
        loader.load(Path(config.data), "test")  # not for training: export will want them, and should find them whole
    lesson, model = prepare(config, digits), compiled_model(config)
    rehearse(architecture, model, lesson.held_out.pixels[:REHEARSED])
    return Run.create(runs, config, digits), lesson, model


def resume(run: Run, console: Console, source: Path | None = None) -> Run:
    """Take a killed run to its end, with the options it was started with and the result it would have had.

    `source` is where the digits lie now, should they have moved.
    """
    if run.finished:
        console.print(f"{run.folder} has finished already; there is nothing left to do.", highlight=False)
        return run
    lesson = prepare(run.config, run.digits(run.place(source)))
    return finish(run, lesson, compiled_model(run.config), console)


def finish(run: Run, lesson: Lesson, model: keras.Model, console: Console) -> Run:
    """Fit, save the model, and last the result, which marks the run as finished."""
    console.print(f"{run.folder}: {lesson.sentence()}", highlight=False, soft_wrap=True)
    try:
        keep = fit(run, model, lesson, console)
    except KeyboardInterrupt:
        raise RunError(f"Stopped. To go on: {run.resume_command}") from None
    model.save(run.model)
    result = outcome(keep.history, keep.seconds)
    if lesson.corrections:
        result["feedback"] = lesson.corrections
    run.save_result(result)
    right = f"{result['validation_digit_accuracy']:.2%} of the held-out digits right"
    console.print(f"best epoch {result['best_epoch']} of {result['epochs_run']}: {right}", highlight=False)
    console.print(f"{result['seconds']:.0f} s; model: {run.model}", highlight=False, soft_wrap=True)
    return run


def outcome(history: History, seconds: float) -> dict[str, Any]:
    """What result.json holds. The best epoch is the one whose weights were restored: the smallest validation loss."""
    best = min(history, key=lambda row: row["val_loss"])
    return {
        "epochs_run": len(history),
        "best_epoch": int(best["epoch"]),
        "validation_digit_accuracy": best["val_digit_accuracy"],
        "seconds": round(seconds, 1),
        "history": history,
    }


def compiled_model(config: TrainConfig) -> keras.Model:
    """The network with weights to begin with, which the seed decides, optimizer, loss and metric: ready for `fit`."""
    keras.utils.set_random_seed(config.seed)
    model = architectures.find(config.architecture).build()
    model.compile(
        optimizer=OPTIMIZERS[config.optimizer](config.learning_rate),
        # Keras drops the trailing 1 of (n, 10, 10, 1) and makes every row of ten sum to 1 before taking the logarithm:
        # for the lecture's head that is ten yes/no questions per digit, answered independently of each other.
        loss="categorical_crossentropy",
        metrics=[digit_accuracy],
        # XLA's convolutions on a CPU are slow: measured 55 s an epoch of 54,000 digits against 6 s without.
        jit_compile=False,
    )
    # Adam's moments exist from the start, so that a checkpoint can fill them.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(run: Run, model: keras.Model, lesson: Lesson, console: Console) -> Checkpoint:
    """Run all epochs that are left; the model has its best weights afterwards."""
    config, learn, held_out = run.config, lesson.learn, lesson.held_out
    head = architectures.find(config.architecture).head
    stopping, schedule = schedules.stopping(config), schedules.schedule(config)
    keep = Checkpoint(run.checkpoint, stopping, schedule)
    steps = batches.steps_per_epoch(len(learn), config.batch_size)
    left = range(_first_epoch(run), config.epochs)
    model.fit(
        batches.batches(learn.pixels, head.encode(learn.labels), left, config),
        shuffle=False,  # the stream is shuffled already
        initial_epoch=left.start,
        epochs=left.stop,
        steps_per_epoch=steps,
        validation_data=(batches.normalise(held_out.pixels), head.encode(held_out.labels)),
        validation_batch_size=1000,
        verbose=0,
        callbacks=[
            schedule,
            EpochProgress(config.epochs, steps, console),
            keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False),
            stopping,
            keep,
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: _after_epoch(run, keep.history)),
        ],
    )
    return keep


def _first_epoch(run: Run) -> int:
    """0 for a new run, the number of whole epochs for a killed one; all of them if it had stopped early."""
    if not run.checkpoint.exists():
        return 0
    state = read_state(run.checkpoint)
    return run.config.epochs if state["stopped"] else int(state["epochs_done"])


def _after_epoch(run: Run, history: History) -> None:
    """Write the history as CSV; refuse to go on once the loss is no number."""
    with run.history.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    if not math.isfinite(history[-1]["loss"]):
        raise RunError(f"The loss is {history[-1]['loss']} in epoch {len(history)}. Try a smaller --learning-rate.")
