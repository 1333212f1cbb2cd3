"""Is the exported graph the trained model? Digits and noise go through both, and the answers must agree.

Keras's own output is decoded here with LECTURE's formula in float64, so the graph's algebra is checked too.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.engine.model import Model
from service.errors import ModelBroken
from training.batches import normalise
from training.errors import ExportError
from training.heads import Head
from training.predict import predict

SAMPLES = 1000  # of each kind, at least
LARGEST_DIFFERENCE = 1e-5  # in any probability; a tie closer than this may fall either way


def check(model: keras.Model, head: Head, graph: bytes, digits: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare on digits (n, 28, 28) uint8 and on as much random noise. Raises ExportError where they differ.

    Returns {"digits", "random", "max_abs_diff", "tolerance"} for the card.
    """
    rng = np.random.default_rng(0)
    real = at_least(digits, SAMPLES, rng)
    noise = rng.integers(0, 256, (max(SAMPLES, len(real)), 28, 28), dtype=np.uint8)
    try:
        served = Model.load(graph)
    except ModelBroken as error:
        raise ExportError(f"The exported graph cannot be served: {error} Nothing was published.") from error
    differences = {
        name: _compare(name, model, head, served, pixels)
        for name, pixels in (("digits", real), ("random arrays", noise))
    }
    return {
        "digits": len(real),
        "random": len(noise),
        "max_abs_diff": max(differences.values()),
        "tolerance": LARGEST_DIFFERENCE,
    }


def sentence(agreement: dict[str, Any]) -> str:
    """The result for a terminal."""
    inputs = f"{agreement['digits']:,} digits and {agreement['random']:,} random arrays"
    return f"largest difference of a probability {agreement['max_abs_diff']:.1e} over {inputs}"


def at_least(digits: NDArray[np.uint8], count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The digits, made up to `count` by copies shifted up to 3 pixels where a small data set holds fewer."""
    if len(digits) >= count:
        return digits
    places = rng.integers(0, len(digits), count - len(digits))
    shifts = rng.integers(-3, 4, (len(places), 2))
    copies = [np.roll(digits[place], shift, axis=(0, 1)) for place, shift in zip(places, shifts, strict=True)]
    return np.concatenate([digits, np.stack(copies)])


def _compare(name: str, model: keras.Model, head: Head, served: Model, pixels: NDArray[np.uint8]) -> float:
    """The largest difference of any probability. Raises ExportError where it is too large, or the digit another one."""
    expected = keras_probabilities(model, head, pixels)
    found = predict(served, pixels)
    difference = np.abs(expected - found)
    largest = float(difference.max())
    if not largest <= LARGEST_DIFFERENCE:  # written so that NaN fails too
        row = int(difference.max(axis=1).argmax())
        raise ExportError(
            f"The exported graph is not the trained model: on {len(pixels):,} {name} a probability differs by "
            f"{largest:.2g} (row {row + 1}); at most {LARGEST_DIFFERENCE:g} is allowed. Nothing was published."
        )
    _compare_digits(name, expected, found)
    return largest


def _compare_digits(name: str, expected: NDArray[np.float64], found: NDArray[np.float32]) -> None:
    """The same digit everywhere, unless Keras's two best are closer to each other than the tolerance."""
    best_two = np.sort(expected, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > LARGEST_DIFFERENCE
    wrong = clear & (expected.argmax(axis=1) != found.argmax(axis=1))
    if wrong.any():
        raise ExportError(
            f"The exported graph reads {int(wrong.sum())} of {len(wrong):,} {name} as another digit than Keras. "
            "Nothing was published."
        )


def keras_probabilities(model: keras.Model, head: Head, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the Keras model says, decoded in float64: (n, 28, 28) uint8 -> (n, 10).

    On noise the lecture's softmax over 100 cells can leave a whole row of ten below float32's smallest number; its
    share is then 0/0. Those inputs go through the same weights once more in float64, where nothing vanishes.
    """
    images = normalise(pixels)
    with np.errstate(invalid="ignore"):
        probabilities = head.decode(model.predict(images, batch_size=500, verbose=0))
    lost = ~np.isfinite(probabilities).all(axis=1)
    if lost.any():
        probabilities[lost] = head.decode(in_float64(model).predict(images[lost], batch_size=500, verbose=0))
    return probabilities


def in_float64(model: keras.Model) -> keras.Model:
    """The same layers and weights, computing in double precision."""
    layers = [type(layer).from_config({**layer.get_config(), "dtype": "float64"}) for layer in model.layers]
    copy = keras.Sequential([keras.Input(model.input_shape[1:], dtype="float64"), *layers])
    copy.set_weights(model.get_weights())
    return copy
