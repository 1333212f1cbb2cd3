"""The networks, one function each: to add one, write the function and decorate it.

A network is a Sequential of any layers that ONNX has operations for. It ends in a Dense with softmax, behind which only
a Reshape may stand. `train` tries the whole export before the first epoch, and says so where it cannot be done.

Keras is imported inside the functions: it takes seconds to load, and `--help` should list the names at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import RunError
from training.heads import ONE_HOT, TWICE, Head

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A network that can be built, with the head that writes its labels and reads its output."""

    name: str
    description: str
    head: Head
    build: Callable[[], "keras.Model"]


ARCHITECTURES: dict[str, Architecture] = {}


def architecture(name: str, head: Head) -> Callable[[Callable[[], "keras.Model"]], Callable[[], "keras.Model"]]:
    """Enter the decorated function under `name`; the first line of its docstring becomes the description."""

    def enter(build: Callable[[], "keras.Model"]) -> Callable[[], "keras.Model"]:
        description = (build.__doc__ or name).splitlines()[0]
        ARCHITECTURES[name] = Architecture(name, description, head, build)
        return build

    return enter


def find(name: str) -> Architecture:
    """The architecture of that name. Raises RunError that lists the names there are."""
    if name not in ARCHITECTURES:
        raise RunError(f"There is no architecture '{name}'. Choose one of: {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def backbone() -> "list[keras.layers.Layer]":
    """conv => max pool => dropout => conv => max pool => dropout => fully connected: the lecture's first nine rows."""
    from keras import Input, layers

    return [
        Input((28, 28, 1)),
        # 8 filters look at 5x5 pixels each: 5 * 5 * 1 * 8 weights + 8 biases = 208 parameters.
        layers.Conv2D(8, (5, 5), padding="same", activation="relu"),
        # The largest of every 2x2 block: half the width, half the height, and a little freedom to shift.
        layers.MaxPooling2D((2, 2)),
        # A quarter of the values is set to 0 at every training step, so none can be relied on alone.
        layers.Dropout(0.25),
        # 3 * 3 pixels * 8 maps * 16 filters + 16 biases = 1,168 parameters.
        layers.Conv2D(16, (3, 3), padding="same", activation="relu"),
        layers.MaxPooling2D((2, 2), strides=(2, 2)),
        layers.Dropout(0.25),
        layers.Flatten(),  # 7 * 7 * 16 = 784 numbers
        # 784 * 256 + 256 = 200,960: nine tenths of all parameters sit in this one layer.
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
    ]


@architecture("lecture-cnn", head=TWICE)
def lecture_cnn() -> "keras.Model":
    """The lecture's model as printed: eleven rows, 100 outputs read as ten one-against-the-rest classifiers.

    Input (None, 28, 28, 1) float32 in 0..1, output (None, 10, 10, 1); 228,036 parameters.
    """
    from keras import Sequential, layers

    rows = [*backbone(), layers.Dense(100, activation="softmax"), layers.Reshape((10, 10, 1))]
    return Sequential(rows, name="lecture_cnn")


@architecture("ten-way", head=ONE_HOT)
def ten_way() -> "keras.Model":
    """The lecture's model repaired: the same backbone with one softmax over the ten digits.

    Input (None, 28, 28, 1) float32 in 0..1, output (None, 10); 204,906 parameters.
    """
    from keras import Sequential, layers

    return Sequential([*backbone(), layers.Dense(10, activation="softmax")], name="ten_way")
