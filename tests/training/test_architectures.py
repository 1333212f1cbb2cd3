"""The lecture's table, to the number."""

import pytest

from training import architectures, summary
from training.architectures import ARCHITECTURES
from training.errors import RunError
from training.heads import ONE_HOT

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
    layers = architectures.find("lecture-cnn").build().layers
    first, second = layers[0], layers[3]
    assert (first.padding, second.padding) == ("same", "same")
    assert [layers[i].activation.__name__ for i in (0, 3, 7, 9)] == ["relu", "relu", "relu", "softmax"]
    assert [layers[i].strides for i in (1, 4)] == [(2, 2), (2, 2)]
    assert [layers[i].rate for i in (2, 5, 8)] == [0.25, 0.25, 0.5]


def test_the_printed_table() -> None:
    lines = summary.table("lecture-cnn", summary.rows(architectures.find("lecture-cnn").build())).splitlines()
    assert lines[0] == "lecture-cnn"
    assert lines[4].split("  ")[0] == "Conv2D"
    assert lines[7].endswith("1,168")
    assert lines[-1] == "Total 228,036 parameters"
    assert len({len(line) for line in lines[1:-1]}) == 1


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RunError, match=r"'vgg'\. Choose one of: lecture-cnn, ten-way"):
        architectures.find("vgg")


def test_adding_an_architecture_is_adding_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "ARCHITECTURES", dict(ARCHITECTURES))

    @architectures.architecture("linear", head=ONE_HOT)
    def linear() -> object:
        """No hidden layer.

        More about it.
        """
        from keras import Input, Sequential, layers

        return Sequential([Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")])

    found = architectures.find("linear")
    assert (found.description, found.build().count_params()) == ("No hidden layer.", 7850)
