"""The lecture's table, to the number; and that a new network is one function, or is refused before it is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime as ort
import pytest
from keras import layers
from numpy.typing import NDArray
from rich.console import Console

from training import architectures, graph, summary
from training.architectures import ARCHITECTURES, Architecture
from training.config import TrainConfig
from training.data.digits import Digits
from training.errors import ExportError, RunError
from training.export import rehearse
from training.heads import ONE_HOT
from training.train import train

LECTURE = [
    ("Conv2D", "8 filters 5x5, same, ReLU", "(None, 28, 28, 8)", 208),
    ("MaxPooling2D", "2x2, stride 2", "(None, 14, 14, 8)", 0),
    ("Dropout", "0.25", "(None, 14, 14, 8)", 0),
    ("Conv2D", "16 filters 3x3, same, ReLU", "(None, 14, 14, 16)", 1168),
    ("MaxPooling2D", "2x2, stride 2", "(None, 7, 7, 16)", 0),
    ("Dropout", "0.25", "(None, 7, 7, 16)", 0),
    ("Flatten", "", "(None, 784)", 0),
    ("Dense", "256, ReLU", "(None, 256)", 200960),
    ("Dropout", "0.5", "(None, 256)", 0),
    ("Dense", "100, softmax", "(None, 100)", 25700),
    ("Reshape", "(10, 10, 1)", "(None, 10, 10, 1)", 0),
]


def test_lecture_cnn_has_the_lectures_eleven_rows() -> None:
    model = architectures.find("lecture-cnn").build()
    assert [tuple(row.values()) for row in summary.rows(model)] == LECTURE
    assert model.count_params() == 228_036
    assert all(layer.trainable for layer in model.layers)


def test_ten_way_has_the_same_backbone_and_one_softmax() -> None:
    model = architectures.find("ten-way").build()
    rows = [tuple(row.values()) for row in summary.rows(model)]
    assert rows == [*LECTURE[:9], ("Dense", "10, softmax", "(None, 10)", 2570)]
    assert model.count_params() == 204_906


def test_the_layers_compute_what_their_names_say() -> None:
    """The table shows words; this looks at the layers themselves."""
    rows = architectures.find("lecture-cnn").build().layers
    first, second = rows[0], rows[3]
    assert (first.padding, second.padding) == ("same", "same")
    assert [rows[i].activation.__name__ for i in (0, 3, 7, 9)] == ["relu", "relu", "relu", "softmax"]
    assert [rows[i].strides for i in (1, 4)] == [(2, 2), (2, 2)]
    assert [rows[i].rate for i in (2, 5, 8)] == [0.25, 0.25, 0.5]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RunError, match=r"'vgg'\. Choose one of: lecture-cnn, ten-way"):
        architectures.find("vgg")


def enter(monkeypatch: pytest.MonkeyPatch, name: str, rows: Callable[[], list[Any]]) -> Architecture:
    """An architecture made of these layers, registered until the test ends."""
    monkeypatch.setitem(ARCHITECTURES, name, ARCHITECTURES["ten-way"])  # replaced at once, and removed after the test

    @architectures.architecture(name, head=ONE_HOT)
    def build() -> keras.Model:
        return keras.Sequential([keras.Input((28, 28, 1)), *rows()], name=name)

    return architectures.find(name)


def ten(**options: Any) -> layers.Layer:
    return layers.Dense(10, activation="softmax", **options)


def test_adding_an_architecture_is_adding_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "ARCHITECTURES", dict(ARCHITECTURES))

    @architectures.architecture("linear", head=ONE_HOT)
    def linear() -> keras.Model:
        """No hidden layer.

        More about it.
        """
        return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), ten()])

    found = architectures.find("linear")
    assert (found.description, found.build().count_params()) == ("No hidden layer.", 7850)


def convolution(**options: Any) -> layers.Layer:
    return layers.Conv2D(16, 3, padding="same", activation="relu", **options)


EXPORTED: dict[str, Callable[[], list[Any]]] = {
    "a Reshape in place of Flatten": lambda: [layers.Reshape((784,)), ten()],
    "a Reshape to 49 pixels": lambda: [
        *(convolution(strides=4), layers.Reshape((49, 16)), layers.Dense(8), layers.Flatten(), ten())
    ],
    "a Reshape to 7 rows": lambda: [
        *(convolution(strides=4), layers.Reshape((7, 112)), layers.Dense(8), layers.Flatten(), ten())
    ],
    "maps that are not square": lambda: [convolution(strides=(2, 1)), layers.Flatten(), ten()],
    "no bias": lambda: [layers.Flatten(), ten(use_bias=False)],
    "a Reshape behind": lambda: [layers.Flatten(), ten(), layers.Reshape((10,))],
    "batch normalisation": lambda: [
        *(layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D(), ten())
    ],
    "a layer as activation": lambda: [layers.Flatten(), layers.Dense(8, activation=layers.LeakyReLU()), ten()],
}


@pytest.mark.parametrize("name", EXPORTED)
def test_a_new_architecture_is_exported_and_answers_as_keras_does(
    name: str, monkeypatch: pytest.MonkeyPatch, handwriting: Digits
) -> None:
    architecture = enter(monkeypatch, "mine", EXPORTED[name])
    model = architecture.build()
    rehearse(architecture, model, handwriting.pixels[:20])
    assert_same_answers(architecture, model, handwriting.pixels[:20, ..., None])
    rng = np.random.default_rng(0)  # biases are 0 now, which makes another graph than what training leaves
    model.set_weights([weights + rng.normal(0, 0.05, weights.shape) for weights in model.get_weights()])
    assert_same_answers(architecture, model, handwriting.pixels[:20, ..., None])


def assert_same_answers(architecture: Architecture, model: keras.Model, pixels: NDArray[np.uint8]) -> None:
    session = ort.InferenceSession(graph.onnx_graph(model, architecture.head).SerializeToString())
    expected = model.predict(pixels / np.float32(255), verbose=0).reshape(len(pixels), 10)
    np.testing.assert_allclose(session.run(["probabilities"], {"pixels": pixels})[0], expected, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "GELU": (
        lambda: [layers.Flatten(), layers.Dense(8, activation="gelu"), ten()],
        "mine cannot be written as ONNX, opset 18: No Op registered for Erfc with domain_version of 18.",
    ),
    "a Softmax layer": (
        lambda: [layers.Flatten(), layers.Dense(10), layers.Softmax()],
        'mine ends in a Softmax layer; expected a Dense layer with softmax (activation="softmax"), then at most a ',
    ),
    "twelve digits": (
        lambda: [layers.Flatten(), layers.Dense(12, activation="softmax")],
        "The exported graph cannot be served: 'probabilities' must be tensor(float) of shape [-1, 10]",
    ),
    "a lambda, which Keras saves but does not load": (
        lambda: [layers.Lambda(lambda values: values * 2), layers.Flatten(), ten()],
        "Requested the deserialization of a `Lambda` layer",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_not_trained(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_config: Callable[..., TrainConfig]
) -> None:
    """Before the first epoch, in one line, and without a run folder."""
    rows, sentence = REFUSED[name]
    enter(monkeypatch, "mine", rows)
    with pytest.raises(ExportError) as refused:
        train(small_config(architecture="mine"), tmp_path / "runs", Console(quiet=True))
    said = str(refused.value)
    assert said.startswith(f"mine could not be exported, so it is not trained: {sentence}")
    assert "\n" not in said
    assert not (tmp_path / "runs").exists()
