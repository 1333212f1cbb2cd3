"""The lecture's training, step by step: load, split, normalise, encode, model, optimizer, augmentation, fit.

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
from training.split import Split

REHEARSED = 100  # digits compared before the first epoch; export compares all held-out digits
OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def train(config: TrainConfig, runs: Path, console: Console) -> Run:
    """Train from the start, in a new folder under `runs`. Raises DataError, ExportError or RunError."""
    return finish(*begin(config, runs), console)


def begin(config: TrainConfig, runs: Path) -> tuple[Run, Split, keras.Model]:
    """Everything before the first epoch. Unusable options or data fail here, and leave no run folder behind."""
    architecture = architectures.find(config.architecture)  # a wrong name should fail before the data are read
    source = Path(config.data)
    digits = loader.load(source)
    split = Split.of(digits, source, config).with_corrections(config)
    model = compiled_model(config)
    rehearse(architecture, model, split.held_out.pixels[:REHEARSED])
    return Run.create(runs, config, digits), split, model


def resume(run: Run, console: Console, moved_to: Path | None = None) -> Run:
    """Continue a killed run to its end, with the options it was started with. `moved_to` is where its data are now.

    The result is the same, bit for bit, as that of a run that was never killed.
    """
    if run.finished:
        console.print(f"{run.folder} has finished already; there is nothing left to do.", highlight=False)
        return run
    return finish(run, run.split(moved_to).with_corrections(run.config), compiled_model(run.config), console)


def finish(run: Run, split: Split, model: keras.Model, console: Console) -> Run:
    """Fit, save the model, and last the result, which marks the run as finished."""
    console.print(f"{run.folder}: {split.sentence()}", highlight=False, soft_wrap=True)
    try:
        checkpoint = fit(run, model, split, console)
    except KeyboardInterrupt:
        raise RunError(f"Stopped. To continue: {run.resume_command}") from None
    model.save(run.model)  # layers, weights and optimizer in one file: it loads without building the network again
    result = outcome(checkpoint.history, checkpoint.seconds)
    if split.corrections is not None:
        result["feedback"] = split.corrections.counts
    run.save_result(result)
    accuracy = f"{result['validation_digit_accuracy']:.2%} of the held-out digits right"
    console.print(f"best epoch {result['best_epoch']} of {result['epochs_run']}: {accuracy}", highlight=False)
    console.print(f"{result['seconds']:.0f} s; model: {run.model}", highlight=False, soft_wrap=True)
    return run


def outcome(history: History, seconds: float) -> dict[str, Any]:
    """The contents of result.json. The best epoch has the smallest validation loss; its weights are in the model."""
    best = min(history, key=lambda row: row["val_loss"])
    return {
        "epochs_run": len(history),
        "best_epoch": int(best["epoch"]),
        "validation_digit_accuracy": best["val_digit_accuracy"],
        "seconds": round(seconds, 1),
        "history": history,
    }


def compiled_model(config: TrainConfig) -> keras.Model:
    """The untrained network with its optimizer, loss and metric. `config.seed` decides its weights.

    The weights start as small random numbers: were they all equal, the filters of a layer would get equal gradients
    and stay equal forever. Keras draws them from +-sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010), so that the
    signal neither grows nor fades from layer to layer. Biases start at 0.
    """
    keras.utils.set_random_seed(config.seed)
    model = architectures.find(config.architecture).build()
    model.compile(
        # Plain gradient descent takes the same step length for every weight: w -= rate * gradient. RMSprop divides by
        # the recent size of each weight's own gradient, so rarely used weights move as far as others. Adam also
        # averages the last ten or so gradients (momentum), which cancels some of the noise of small batches. It stores
        # two numbers per weight for that, 2 x 228,036 here.
        optimizer=OPTIMIZERS[config.optimizer](config.learning_rate),
        # -log of the probability given to the right class: 2.303 = log 10 for a guess among ten, 0 for certainty. With
        # softmax its gradient at the logits is probability minus target, large while the model is wrong. The gradient
        # of a squared error would nearly vanish for a confident mistake, where softmax is flat.
        # Keras drops the trailing 1 of (n, 10, 10, 1) and makes each row of ten sum to 1 before it takes the logarithm:
        # for the lecture's head the loss is that of ten independent yes/no questions per digit.
        loss="categorical_crossentropy",
        metrics=[digit_accuracy],
        # XLA's convolutions are slow on a CPU: 55 s per epoch of 54,000 digits, against 6 s without (2 cores).
        jit_compile=False,
    )
    # Creates Adam's averages now instead of at the first step, so that a checkpoint can fill them.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(run: Run, model: keras.Model, split: Split, console: Console) -> Checkpoint:
    """Train for all remaining epochs; afterwards the model has the weights of its best epoch.

    Keras does four things for each batch. Forward: compute the outputs. Loss: compare them with the targets.
    Back-propagation: apply the chain rule from the loss back to the first layer; that gives the gradients of all
    228,036 weights for about twice the cost of the forward pass. Step: the optimizer changes each weight against its
    gradient (docs/lecture).
    """
    config, learn, held_out = run.config, split.to_learn(), split.held_out
    head = architectures.find(config.architecture).head
    stopping, schedule = schedules.stopping(config), schedules.schedule(config)
    checkpoint = Checkpoint(run.checkpoint, stopping, schedule)
    steps = batches.steps_per_epoch(len(learn), config.batch_size)
    remaining = range(_first_epoch(run), config.epochs)
    model.fit(
        batches.batches(learn.pixels, head.encode(learn.labels), remaining, config),
        shuffle=False,  # batches.py has shuffled already
        initial_epoch=remaining.start,
        epochs=remaining.stop,
        steps_per_epoch=steps,
        # Measured after each epoch, without dropout and without distortion: so the validation loss is often the lower.
        validation_data=(batches.normalise(held_out.pixels), head.encode(held_out.labels)),
        validation_batch_size=1000,  # changes the speed only: no gradient is computed here
        verbose=0,
        callbacks=[
            schedule,
            EpochProgress(config.epochs, steps, console),
            keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False),
            stopping,
            checkpoint,
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: _after_epoch(run, checkpoint.history)),
        ],
    )
    return checkpoint


def _first_epoch(run: Run) -> int:
    """0 for a new run, the number of complete epochs for a killed one, all epochs for one that had stopped early."""
    if not run.checkpoint.exists():
        return 0
    state = read_state(run.checkpoint)
    return run.config.epochs if state["stopped"] else int(state["epochs_done"])


def _after_epoch(run: Run, history: History) -> None:
    """Write the history as CSV. Raises RunError when the loss is infinite or not a number."""
    with run.history.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    # Steps that are too long make the weights grow until float32 overflows, above 3.4e38. No later step repairs that.
    if not math.isfinite(history[-1]["loss"]):
        raise RunError(f"The loss is {history[-1]['loss']} in epoch {len(history)}. Try a smaller --learning-rate.")
