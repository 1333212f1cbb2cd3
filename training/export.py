"""Publishes a finished run as the next version: ONNX graph, comparison with Keras, measurements, model card.

python -m training export --run runs/20250131-120000-lecture-cnn
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from service.engine.model import Model
from service.repository.writer import RepositoryWriter
from training import architectures, card, fingerprint, graph, parity
from training.architectures import Architecture
from training.digit_accuracy import digit_accuracy
from training.errors import ExportError, RunError, one_line
from training.runs import Run
from training.split import Split


def export(run: Run, repository: RepositoryWriter, name: str, console: Console, moved_to: Path | None = None) -> int:
    """Publish the run's model under `name` and return its version. Nothing is promoted.

    `moved_to` is where the training data are now, if they have moved. Raises RunError for an unfinished run,
    DataError for other data than it was trained on, ExportError where the graph differs from the model.
    Then nothing is published.
    """
    run.result()  # an unfinished run is rejected before the data are read
    return publish(run, run.split(moved_to), repository, name, console)


def publish(run: Run, split: Split, repository: RepositoryWriter, name: str, console: Console) -> int:
    """The same with the digits of the run already read. Raises RunError or ExportError."""
    result, model = run.result(), load_keras(run)
    architecture = architectures.find(run.config.architecture)
    exported = graph.onnx_graph(model, architecture.head)
    agreement = parity.check(model, architecture.head, exported.SerializeToString(), split.held_out.pixels)
    console.print(f"parity with Keras: {parity.sentence(agreement)}", highlight=False, soft_wrap=True)
    described = {
        **card.about_model(architecture, model),
        **card.about_training(run.config, result),
        **card.about_data(split, run.config),
        **card.about_quality(Model.load(exported.SerializeToString()), split.held_out, split.test),
        "parity": agreement,
        **card.about_tools(),
    }
    properties = about_itself(name, described) | {fingerprint.PROPERTY: fingerprint.encode(split.training.pixels)}
    version = repository.publish(name, lambda n: graph.stamp(exported, properties | {"version": n}), described)
    console.print(f"published {repository.model_path(name, version)}", highlight=False, soft_wrap=True)
    return version


def rehearse(architecture: Architecture, model: keras.Model, pixels: NDArray[np.uint8]) -> None:
    """Do everything that export will do, with the untrained model, and publish nothing. Raises ExportError.

    It takes a second before the first epoch. A network that cannot be saved, exported or served is rejected then, and
    not after hours of training.
    """
    try:
        with TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.keras")
            saved = _read(Path(folder) / "model.keras")
        # Biases start at 0, and the converter removes an addition of 0: move them, so that the graph is the final one.
        saved.set_weights([weights + np.float32(0.01) for weights in saved.get_weights()])
        card.about_model(architecture, saved)
        parity.check(saved, architecture.head, graph.onnx_graph(saved, architecture.head).SerializeToString(), pixels)
    except Exception as error:  # a new architecture may be made of anything, and raise anything
        raise ExportError(
            f"{architecture.name} could not be exported, so it is not trained: {one_line(error)}"
        ) from error


def about_itself(name: str, described: card.Card) -> dict[str, str]:
    """The metadata inside the ONNX file: name, architecture, classes, summary and time of creation."""
    return {
        "name": name,
        "architecture": described["architecture"],
        "classes": json.dumps(described["classes"]),
        "summary": described["summary"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def load_keras(run: Run) -> keras.Model:
    """The Keras model with the run's best weights. Raises RunError where the file is missing or damaged."""
    try:
        return _read(run.model)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{run.model} cannot be read ({error}). Train again.") from error


def _read(file: Path) -> keras.Model:
    return keras.models.load_model(file, custom_objects={"digit_accuracy": digit_accuracy})
