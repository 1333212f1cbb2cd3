"""The networks, one function each. To add one, write the function and decorate it; nothing else has to change.

A network is a Sequential of layers that ONNX has operations for. It ends in a Dense layer with softmax, which only a
Reshape may follow. `train` tries the whole export before the first epoch and rejects a network that cannot be exported.

Keras is imported inside the functions: it takes seconds to import, and `--help` should list the names at once.
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
    """A network by name, with the head that encodes its labels and decodes its output."""

    name: str
    description: str
    head: Head
    build: Callable[[], "keras.Model"]


ARCHITECTURES: dict[str, Architecture] = {}


def architecture(name: str, head: Head) -> Callable[[Callable[[], "keras.Model"]], Callable[[], "keras.Model"]]:
    """Register the decorated function under `name`; the first line of its docstring becomes the description."""

    def register(build: Callable[[], "keras.Model"]) -> Callable[[], "keras.Model"]:
        description = (build.__doc__ or name).splitlines()[0]
        ARCHITECTURES[name] = Architecture(name, description, head, build)
        return build

    return register


def find(name: str) -> Architecture:
    """The architecture of that name. Raises RunError, which lists all names, where there is none."""
    if name not in ARCHITECTURES:
        raise RunError(f"There is no architecture '{name}'. Choose one of: {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def backbone() -> "list[keras.layers.Layer]":
    """conv => max pool => dropout => conv => max pool => dropout => fully connected: the lecture's first nine layers.

    Why convolutions: a Dense layer has a weight for every pixel of the image, so it must learn a stroke anew at every
    place. A convolution slides one small filter over the image: it finds the stroke wherever it is, with few weights.
    """
    from keras import Input, layers

    return [
        Input((28, 28, 1)),
        # Each of 8 filters is a pattern of 5x5 weights. At every pixel it is multiplied with the 25 pixels around and
        # summed, plus a bias: 5 * 5 * 1 * 8 weights + 8 biases = 208 parameters, whatever the size of the image.
        # (The filter is not flipped, so mathematically this is a cross-correlation; the weights are learned anyway.)
        # padding="same" adds 2 rows and columns of 0 on each side: floor((28 + 2 * 2 - 5) / 1) + 1 = 28, so the size
        # stays. Without it the maps would shrink to 24x24 and strokes at the border would count less.
        # ReLU max(0, z) makes the layer non-linear: without it, all layers together would be one linear map. Its slope
        # is 1 for every z above 0, so gradients pass unchanged; a sigmoid's slope is at most 1/4 in each layer.
        layers.Conv2D(8, (5, 5), padding="same", activation="relu"),
        # Keeps the largest of every 2x2 block: 28x28 becomes 14x14, with no parameters. What was found matters more
        # than where exactly, so a stroke may shift by a pixel. The gradient goes to the pixel that was largest. An
        # average would mix a strong answer with three weak ones.
        layers.MaxPooling2D((2, 2)),
        # Sets a random quarter of the values to 0 at every training step, and multiplies the others by 1 / 0.75 to keep
        # the mean: no value can be relied on alone, which makes it harder to learn the digits by heart. In use it does
        # nothing, so export leaves it out. The lecture prints 0.25 behind each pooling and 0.5 behind the Dense layer.
        layers.Dropout(0.25),
        # A filter of this layer covers all 8 maps at once: 3 * 3 * 8 weights * 16 filters + 16 biases = 1,168
        # parameters. One value here depends on 10x10 pixels of the image: first lines and corners, now parts of digits.
        layers.Conv2D(16, (3, 3), padding="same", activation="relu"),
        layers.MaxPooling2D((2, 2), strides=(2, 2)),  # stride 2 is the default too; printed in the lecture
        layers.Dropout(0.25),
        # 7 * 7 * 16 = 784 numbers in a row: as many as the image has pixels, but of features in place of brightness.
        layers.Flatten(),
        # Combines the features of the whole image. 784 * 256 weights + 256 biases = 200,960 parameters: nine tenths of
        # all that the network has, which is why the strongest dropout follows.
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
    ]


@architecture("lecture-cnn", head=TWICE)
def lecture_cnn() -> "keras.Model":
    """The lecture's model as printed: eleven rows, 100 outputs read as ten one-against-the-rest classifiers.

    Input (None, 28, 28, 1) float32 in 0..1, output (None, 10, 10, 1); 228,036 parameters.
    """
    from keras import Sequential, layers

    # 256 * 100 + 100 = 25,700 parameters: one softmax over 100 cells, ten for each digit (heads.py, docs/lecture).
    rows = [*backbone(), layers.Dense(100, activation="softmax"), layers.Reshape((10, 10, 1))]
    return Sequential(rows, name="lecture_cnn")


@architecture("ten-way", head=ONE_HOT)
def ten_way() -> "keras.Model":
    """The lecture's model repaired: the same backbone with one softmax over the ten digits.

    Input (None, 28, 28, 1) float32 in 0..1, output (None, 10); 204,906 parameters.
    """
    from keras import Sequential, layers

    # 256 * 10 + 10 = 2,570 parameters. The digits exclude each other, so one softmax over ten is the natural output.
    return Sequential([*backbone(), layers.Dense(10, activation="softmax")], name="ten_way")
