"""Parity has teeth: a graph that is not the model is refused, whatever is wrong with it."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from training import architectures, graph, parity
from training.architectures import Architecture
from training.data.digits import Digits
from training.errors import ExportError


@pytest.fixture(scope="module", params=["lecture-cnn", "ten-way"])
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return architectures.find(request.param)


@pytest.fixture(scope="module")
def model(architecture: Architecture) -> object:
    """Untrained, with biases that are not 0, as training leaves them."""
    built = architecture.build()
    rng = np.random.default_rng(0)
    built.set_weights([weights + rng.normal(0, 0.05, weights.shape) for weights in built.get_weights()])
    return built


def changed(exported: onnx.ModelProto, kind: str, change: object) -> bytes:
    """The graph with the weights of the first node of that kind changed."""
    copy = onnx.ModelProto.FromString(exported.SerializeToString())
    name = next(node.input[1] for node in copy.graph.node if node.op_type == kind)
    weights = next(each for each in copy.graph.initializer if each.name == name)
    weights.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weights).copy()), name))
    return copy.SerializeToString()


def test_a_true_graph_passes_on_a_thousand_of_each(
    model: object, architecture: Architecture, handwriting: Digits
) -> None:
    exported = graph.onnx_graph(model, architecture.head).SerializeToString()
    found = parity.check(model, architecture.head, exported, handwriting.pixels[:30])
    assert (found["digits"], found["random"]) == (1000, 1000)
    assert 0 < found["max_abs_diff"] <= found["tolerance"] == 1e-5
    assert parity.check(model, architecture.head, exported, handwriting.pixels)["digits"] == 1797


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Conv", lambda w: w * np.float32(1.001)),
        ("Conv", lambda w: w * np.float32(255)),  # forgot that pixels are 0 to 255
        ("MatMul", lambda w: w[::-1].copy()),  # flattened in the wrong order
        ("Add", lambda b: b + np.float32(0.01)),
        ("Conv", lambda w: w * np.float32(np.nan)),
    ],
    ids=["a thousandth off", "not divided by 255", "wrong order", "bias off", "not a number"],
)
def test_a_wrong_graph_is_refused(
    kind: str, change: object, model: object, architecture: Architecture, handwriting: Digits
) -> None:
    exported = graph.onnx_graph(model, architecture.head)
    with pytest.raises(ExportError, match=r"(is not the trained model|cannot be served).*Nothing was published"):
        parity.check(model, architecture.head, changed(exported, kind, change), handwriting.pixels[:100])


def test_noise_alone_can_convict(model: object, architecture: Architecture) -> None:
    """On black pictures every weight of the first layer is multiplied by 0; the random arrays still show the fault."""
    exported = changed(graph.onnx_graph(model, architecture.head), "Conv", lambda w: w * np.float32(1.01))
    with pytest.raises(ExportError, match="on 1,000 random arrays"):
        parity.check(model, architecture.head, exported, np.zeros((1000, 28, 28), np.uint8))


def test_another_digit_is_refused_and_a_tie_is_not() -> None:
    sure, tie = np.full((1, 10), 0.05), np.full((1, 10), 0.05)
    sure[0, 3], sure[0, 4] = 0.3, 0.3 - 1e-4
    tie[0, 3], tie[0, 4] = 0.3, 0.3 - 1e-6
    other = np.full((1, 10), 0.05, np.float32)
    other[0, 4] = 0.3
    parity._compare_digits("digits", tie, other)
    with pytest.raises(ExportError, match="reads 1 of 1 digits as another digit than Keras"):
        parity._compare_digits("digits", sure, other)


def test_a_small_data_set_is_made_up_to_a_thousand_different_digits(handwriting: Digits) -> None:
    found = parity.at_least(handwriting.pixels[:40], 1000, np.random.default_rng(0))
    assert found.shape == (1000, 28, 28)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:40], handwriting.pixels[:40])
    assert len({image.tobytes() for image in found}) > 700
