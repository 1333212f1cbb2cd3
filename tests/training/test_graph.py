"""The exported graph: its contract with the service, and that it is small."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.engine.model import Model
from service.repository.repository import Repository
from training import architectures, graph, parity
from training.data.digits import Digits
from training.errors import ExportError

# All nodes, in order. No Shape, Gather, Slice or Concat to find out a size that is known, no Transpose.
LOGITS = ["Cast", "Reshape", *["Conv", "Relu", "MaxPool"] * 2, "Reshape", "MatMul", "Add", "Relu", "MatMul", "Add"]
LECTURE_CNN = [*LOGITS, "Softmax", "Reshape", "Reshape", "LogSoftmax", "Gather", "Softmax"]
TEN_WAY = [*LOGITS, "Softmax"]


@pytest.fixture(params=[1, 2], ids=["lecture-cnn", "ten-way"])
def file(request: pytest.FixtureRequest, published: Repository) -> Path:
    return published.model_path("digits", request.param)


def test_inputs_and_outputs(file: Path) -> None:
    model = onnx.load(file)
    values = [*model.graph.input, *model.graph.output]
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    lecture = {"lecture_output": ["N", 10, 10, 1]} if file.parent.name == "1" else {}
    assert shapes == {"pixels": ["N", 28, 28, 1], "probabilities": ["N", 10]} | lecture
    assert [v.name for v in values][:2] == ["pixels", "probabilities"]
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    assert types.pop("pixels") == onnx.TensorProto.UINT8
    assert set(types.values()) == {onnx.TensorProto.FLOAT}


def test_nodes_are_few_and_plain_onnx(file: Path) -> None:
    model = onnx.load(file)
    assert [node.op_type for node in model.graph.node] == (LECTURE_CNN if file.parent.name == "1" else TEN_WAY)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert model.ir_version <= 10
    constants = {each.name for each in model.graph.initializer}
    reshapes = [node for node in model.graph.node if node.op_type == "Reshape"]
    assert all(node.input[1] in constants for node in reshapes)
    assert constants == {name for node in model.graph.node for name in node.input} & constants


def test_a_lone_file_explains_itself(file: Path) -> None:
    said = {each.key: each.value for each in onnx.load(file).metadata_props}
    version = int(file.parent.name)
    assert said["name"] == "digits"
    assert said["version"] == str(version)
    assert said["architecture"] == ("lecture-cnn", "ten-way")[version - 1]
    assert json.loads(said["classes"]) == list("0123456789")
    assert ("Total 228,036 parameters", "Total 204,906 parameters")[version - 1] in said["summary"]
    assert said["created"].startswith("20")


@pytest.mark.parametrize("rows", [1, 2, 3, 64, 257])
def test_any_batch(rows: int, file: Path, handwriting: Digits) -> None:
    """Each digit is answered as it would be alone."""
    model = Model.load(file)
    pixels = handwriting.pixels[:rows]
    together = model.predict(pixels)
    alone = np.concatenate([model.predict(pixels[i : i + 1]) for i in range(rows)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


def test_the_lecture_output_is_the_lectures(published: Repository, handwriting: Digits) -> None:
    """One softmax over the 100 cells, and the probabilities are what the lecture's formula makes of it."""
    model = Model.load(published.model_path("digits", 1))
    outputs = model.lecture_output(handwriting.pixels[:100])
    assert outputs.shape == (100, 10, 10, 1)
    np.testing.assert_allclose(outputs.sum(axis=(1, 2, 3)), 1, atol=1e-5)
    decoded = architectures.find("lecture-cnn").head.decode(outputs)
    np.testing.assert_allclose(model.predict(handwriting.pixels[:100]), decoded, atol=1e-5)


def test_extreme_weights_do_not_give_nan() -> None:
    """A head so confident that whole rows underflow in float32: the graph still gives the right answers."""
    architecture = architectures.find("lecture-cnn")
    model = architecture.build()
    bias = np.zeros((10, 10), np.float32)
    bias[4:] = -300.0  # e^-300 is 0 in float32 and 1e-131 in float64
    model.set_weights([*model.get_weights()[:-1], bias.ravel()])
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        plain = architecture.head.decode(model.predict(parity.normalise(noise), verbose=0))
    assert np.isnan(plain).all()
    found = parity.check(
        model, architecture.head, graph.onnx_graph(model, architecture.head).SerializeToString(), noise
    )
    assert found["digits"] == 1000


def test_a_model_that_export_cannot_walk_through_is_refused() -> None:
    import keras

    inputs = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(inputs)
    functional = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(flat))
    head = architectures.find("ten-way").head
    with pytest.raises(ExportError, match="not a Sequential model"):
        graph.onnx_graph(functional, head)
    linear = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ExportError, match="expected a Dense layer with softmax"):
        graph.onnx_graph(linear, head)
