"""From a finished run to a published version: graph, parity, judgement, card, and only then the repository.

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
from service.repository.repository import Repository
from training import architectures, card, fingerprint, graph, parity
from training.architectures import Architecture
from training.data import loader
from training.data.digits import split
from training.digit_accuracy import digit_accuracy
from training.errors import ExportError, RunError, one_line
from training.runs import Run


def export(run: Run, repository: Repository, name: str, console: Console, source: Path | None = None) -> int:
    """Publish the run's model under `name` and return its version. Nothing is promoted.

    `source` is where the training data lie now, should they have moved. Raises RunError for an unfinished run,
    DataError for data it was not trained on, ExportError where the graph is not the model: nothing is published then.
    """
    result = run.result()  # an unfinished run says so before anything is read
    place = run.place(source)
    digits = run.digits(place)
    learn, held_out = split(digits, run.config.validation_share, run.config.split_seed)
    head, model = architectures.find(run.config.architecture).head, load_keras(run)
    exported = graph.onnx_graph(model, head)
    agreement = parity.check(model, head, exported.SerializeToString(), held_out.pixels)
    console.print(f"parity with Keras: {parity.sentence(agreement)}", highlight=False, soft_wrap=True)
    test = loader.load(place, "test") if loader.has_labelled_test(place) else None
    described = {
        **card.about_model(architectures.find(run.config.architecture), model),
        **card.about_training(run.config, result),
        **card.about_data(place, digits, len(held_out), run.config),
        **card.about_quality(Model.load(exported.SerializeToString()), held_out, test),
        "parity": agreement,
        **card.about_tools(),
    }
    properties = about_itself(name, described) | {fingerprint.PROPERTY: fingerprint.encode(learn.pixels)}
    version = repository.publish(name, lambda n: graph.stamp(exported, properties | {"version": n}), described)
    console.print(f"published {repository.model_path(name, version)}", highlight=False, soft_wrap=True)
    return version


def rehearse(architecture: Architecture, model: keras.Model, pixels: NDArray[np.uint8]) -> None:
    """Everything that export will do to the trained model, done to the untrained one and published nowhere.

    A second before the first epoch, so that a network which cannot be saved, exported or served says so then and
    not after the hours of training. Raises ExportError.
    """
    try:
        with TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.keras")
            saved = _read(Path(folder) / "model.keras")
        # Biases begin at 0, and what adds 0 is left out of a graph: moved a little, they are all there as when trained.
        saved.set_weights([weights + np.float32(0.01) for weights in saved.get_weights()])
        card.about_model(architecture, saved)
        parity.check(saved, architecture.head, graph.onnx_graph(saved, architecture.head).SerializeToString(), pixels)
    except Exception as error:  # the border to whatever a new architecture is made of
        raise ExportError(
            f"{architecture.name} could not be exported, so it is not trained: {one_line(error)}"
        ) from error


def about_itself(name: str, described: card.Card) -> dict[str, str]:
    """What the file says of itself: name, architecture, classes, summary and time of creation."""
    return {
        "name": name,
        "architecture": described["architecture"],
        "classes": json.dumps(described["classes"]),
        "summary": described["summary"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def load_keras(run: Run) -> keras.Model:
    """The run's best weights. Raises RunError where the file is missing or damaged."""
    try:
        return _read(run.model)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{run.model} cannot be read ({error}). Train again.") from error


def _read(file: Path) -> keras.Model:
    return keras.models.load_model(file, custom_objects={"digit_accuracy": digit_accuracy})
