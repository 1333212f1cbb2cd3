"""Tiny real ONNX classifiers for tests: the class is the brightest of the first ten pixels, so answers are known.

With `weights=handwriting()` the same model also reads real handwriting, whose first ten pixels are always empty.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

from service.engine.model import Model
from service.repository.writer import RepositoryWriter


def classifier(shift: int = 0, weights: NDArray[np.float32] | None = None, **changes: Any) -> bytes:
    """ONNX bytes: digit = (index of the brightest of pixels 0-9 + shift) mod 10.

    Args:
        shift: makes versions that can be told apart.
        weights: (784, classes), added to those of the brightest pixel.
        changes: input_name, input_type, input_shape, output_name, output_type, classes, rows, scale or softmax, to
            build a model that must be refused.
    """
    classes = changes.get("classes", 10)
    matrix = np.zeros((784, classes), np.float32) if weights is None else weights.copy()
    for pixel in range(10):
        matrix[pixel, (pixel + shift) % classes] = 20 / 255 * changes.get("scale", 1)
    pixels = changes.get("input_name", "pixels")
    output = changes.get("output_name", "probabilities")
    last = "Softmax" if changes.get("softmax", True) else "Identity"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [pixels], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["floats", "flat"], ["rows"]),
            helper.make_node("MatMul", ["rows", "weights"], ["logits"]),
            helper.make_node(last, ["logits"], ["shares"]),
            helper.make_node("Cast", ["shares"], [output], to=changes.get("output_type", TensorProto.FLOAT)),
        ],
        "brightest",
        [
            helper.make_tensor_value_info(
                pixels, changes.get("input_type", TensorProto.UINT8), changes.get("input_shape", ["N", 28, 28, 1])
            )
        ],
        [helper.make_tensor_value_info(output, changes.get("output_type", TensorProto.FLOAT), ["N", classes])],
        [
            numpy_helper.from_array(matrix, "weights"),
            numpy_helper.from_array(np.array([changes.get("rows", -1), 784], np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"name": "digits", "architecture": "brightest", "summary": "brightest of ten"})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def digit(value: int, ink: int = 255) -> NDArray[np.uint8]:
    """A picture (28, 28) that `classifier()` calls `value`."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[0, value] = ink
    return pixels


def digits(*values: int) -> NDArray[np.uint8]:
    """Pictures (n, 28, 28) that `classifier()` calls `values`."""
    return np.stack([digit(value) for value in values])


@cache
def handwriting() -> NDArray[np.float32]:
    """Weights (784, 10) that read real handwriting: ridge regression on scikit-learn's 1,797 digits."""
    data = load_digits()
    rows = np.stack([as_mnist(picture) for picture in data.images]).reshape(-1, 784).astype(np.float64)
    targets = np.eye(10)[data.target] - 0.1
    weights = np.linalg.solve(rows.T @ rows + 1e6 * np.eye(784), rows.T @ targets)
    weights[:10] = 0
    return (10 * weights).astype(np.float32)


@cache
def written() -> dict[int, NDArray[np.uint8]]:
    """For each digit a real one, (8, 8) with bright ink on a dark ground, that `handwriting()` reads with ease."""
    data = load_digits()
    rows = np.stack([as_mnist(picture) for picture in data.images]).reshape(-1, 784)
    scores = rows.astype(np.float32) @ handwriting()
    sure = {}
    for value in range(10):
        lead = scores[:, value] - np.delete(scores, value, axis=1).max(axis=1)
        sure[value] = (data.images[np.where(data.target == value, lead, -np.inf).argmax()] * 255 / 16).astype(np.uint8)
    return sure


def as_mnist(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """MNIST's own procedure, implemented independently: ink fitted into 20x20, centre of mass in the middle."""
    ink = (picture * (255 / picture.max())).astype(np.uint8)
    rows, columns = np.nonzero(ink)
    ink = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = 20 / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC))
    y, x = np.indices(small.shape)
    top = min(max(round(13.5 - (y * small).sum() / small.sum()), 0), 28 - height)
    left = min(max(round(13.5 - (x * small).sum() / small.sum()), 0), 28 - width)
    placed = np.zeros((28, 28), np.uint8)
    placed[top : top + height, left : left + width] = small
    return placed


def card_for(data: bytes) -> dict[str, Any]:
    """A full card for a model, with a self-test that it passes."""
    pixels = digits(0, 1, 2, 3)
    self_test = {
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "probabilities": Model.load(data).predict(pixels).tolist(),
    }
    return {"architecture": "brightest", "summary": "brightest of ten", "parameters": 7840, "self_test": self_test}


def publish(
    root: Path,
    shift: int = 0,
    name: str = "digits",
    promote: bool = True,
    weights: NDArray[np.float32] | None = None,
) -> int:
    """Publish a `classifier(shift)` with a full card, and promote it."""
    data = classifier(shift, weights)
    repository = RepositoryWriter(root)
    version = repository.publish(name, lambda _: data, card_for(data))
    if promote:
        repository.promote(name, version)
    return version


def publish_broken(root: Path, data: bytes, name: str = "digits", **card: Any) -> int:
    """Publish and promote bytes that must not be served, with a card whose SHA-256 matches them."""
    repository = RepositoryWriter(root)
    version = repository.publish(name, lambda _: data, card)
    repository.promote(name, version)
    return version


def fails_when_run() -> bytes:
    """A classifier that loads and classifies one digit, but fails with two: its shapes are only known at run time."""
    model = onnx.load_from_string(classifier())
    constants = {"zero": np.float32([0]), "one": np.float32([1]), "rest": np.int64([-1]), "one_axis": np.int64([1])}
    del model.graph.initializer[1]  # "flat"
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    steps = [
        helper.make_node("ReduceMax", ["floats"], ["brightest"]),
        helper.make_node("Reshape", ["brightest", "one_axis"], ["brightest_1"]),
        helper.make_node("Mul", ["brightest_1", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["single"]),
        helper.make_node("Cast", ["single"], ["rows_wanted"], to=TensorProto.INT64),
        helper.make_node("Concat", ["rows_wanted", "rest"], ["flat"], axis=0),
    ]
    for place, step in enumerate(steps, 1):
        model.graph.node.insert(place, step)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


BROKEN = {
    "empty": b"",
    "text": b"This is no model.",
    "zeros": bytes(1000),
    "truncated": classifier()[:-5000],
    "truncated in its header": classifier()[:50],
    "a bit turned": classifier()[:20] + b"\xff\xff\xff" + classifier()[23:],
    "an HTML page": b"<html><body>404 Not Found</body></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "input of another name": classifier(input_name="image"),
    "input of floats": classifier(input_type=TensorProto.FLOAT),
    "input of three axes": classifier(input_shape=["N", 28, 28]),
    "input of 32x32": classifier(input_shape=["N", 32, 32, 1]),
    "a fixed batch": classifier(input_shape=[1, 28, 28, 1]),
    "every axis open": classifier(input_shape=["N", "H", "W", "C"]),
    "output of another name": classifier(output_name="scores"),
    "output of doubles": classifier(output_type=TensorProto.DOUBLE),
    "eleven classes": classifier(classes=11),
    "two classes": classifier(classes=2),
    "logits": classifier(softmax=False),
    "NaN": classifier(scale=np.nan),
    "infinity": classifier(scale=np.inf, softmax=False),
    "answers one digit, whatever comes": classifier(rows=1),
    "fails with two digits": fails_when_run(),
}


def unlike(value: int, number: int) -> NDArray[np.uint8]:
    """Another picture (28, 28) that `classifier()` calls `value`: one of 65,536 with as much ink as handwriting has."""
    pixels = digit(value)
    pixels[12:14, 4:24] = 255
    pixels[20, 4:20] = [255 * (number >> bit & 1) for bit in range(16)]
    return pixels
