"""Compares the exported graph with the trained Keras model: both read digits and noise, and their answers must agree.

Keras's output is decoded here in float64 with the formula of docs/lecture, so the algebra of the graph is checked too.
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

SAMPLES = 1000  # digits and random images, at least so many of each
# Float32 has 7 significant digits, and the two programs add in different orders: they differ by about 1e-6 even where
# nothing is wrong. A forgotten bias or a wrong axis differs far more. 1e-5 tells the two apart.
LARGEST_DIFFERENCE = 1e-5


def check(model: keras.Model, head: Head, graph: bytes, digits: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare on digits (n, 28, 28) uint8 and on as many random images. Raises ExportError where the two differ.

    Returns {"digits", "random", "max_abs_diff", "tolerance"} for the card.
    """
    # Digits exercise what the network was trained for. On noise its layers take values that no digit gives them, and a
    # mistake in the export that digits happen to hide shows up.
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
    """The result of `check` for a terminal."""
    inputs = f"{agreement['digits']:,} digits and {agreement['random']:,} random arrays"
    return f"largest difference of a probability {agreement['max_abs_diff']:.1e} over {inputs}"


def at_least(digits: NDArray[np.uint8], count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The digits; fewer than `count` are filled up with copies shifted by up to 3 pixels."""
    if len(digits) >= count:
        return digits
    places = rng.integers(0, len(digits), count - len(digits))
    shifts = rng.integers(-3, 4, (len(places), 2))
    copies = [np.roll(digits[place], shift, axis=(0, 1)) for place, shift in zip(places, shifts, strict=True)]
    return np.concatenate([digits, np.stack(copies)])


def _compare(name: str, model: keras.Model, head: Head, served: Model, pixels: NDArray[np.uint8]) -> float:
    """The largest difference of any probability. Raises ExportError if it is too large, or if a digit differs."""
    expected = keras_probabilities(model, head, pixels)
    found = predict(served, pixels)
    difference = np.abs(expected - found)
    largest = float(difference.max())
    if not largest <= LARGEST_DIFFERENCE:  # in this form, NaN fails too
        row = int(difference.max(axis=1).argmax())
        raise ExportError(
            f"The exported graph is not the trained model: on {len(pixels):,} {name} a probability differs by "
            f"{largest:.2g} (row {row + 1}); at most {LARGEST_DIFFERENCE:g} is allowed. Nothing was published."
        )
    _compare_digits(name, expected, found)
    return largest


def _compare_digits(name: str, expected: NDArray[np.float64], found: NDArray[np.float32]) -> None:
    """Raise ExportError where the digits differ, unless Keras's best two are closer together than the tolerance."""
    best_two = np.sort(expected, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > LARGEST_DIFFERENCE
    wrong = clear & (expected.argmax(axis=1) != found.argmax(axis=1))
    if wrong.any():
        raise ExportError(
            f"The exported graph reads {int(wrong.sum())} of {len(wrong):,} {name} as another digit than Keras. "
            "Nothing was published."
        )


def keras_probabilities(model: keras.Model, head: Head, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The Keras model's probabilities, decoded in float64: (n, 28, 28) uint8 -> (n, 10).

    On noise the lecture's softmax over 100 cells can leave a whole row of ten below float32's smallest number; its
    share is then 0/0. Those inputs go through the same weights again in float64, which has numbers down to 5e-324.
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
