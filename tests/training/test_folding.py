"""Folding changes no answer, and leaves alone what it does not recognise."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from training import architectures, folding, graph


@pytest.mark.parametrize("name", ["lecture-cnn", "ten-way"])
def test_folding_changes_no_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = architectures.find(name)
    model = architecture.build()
    folded = graph.onnx_graph(model, architecture.head)
    monkeypatch.setattr(graph, "fold", lambda exported: None)
    plain = graph.onnx_graph(model, architecture.head)
    assert {"Transpose", "Mul"} <= {node.op_type for node in plain.graph.node}
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
    answers = [
        ort.InferenceSession(each.SerializeToString()).run(None, {"pixels": pixels})[0] for each in (plain, folded)
    ]
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_folding_leaves_alone_what_it_does_not_know() -> None:
    """Mul and Transpose in other places than the two patterns stay where they are."""
    make = onnx.helper
    shape = onnx.numpy_helper.from_array(np.array([-1, 4], np.int64), "shape")
    factor = onnx.numpy_helper.from_array(np.float32([2, 3, 4, 5]), "factor")
    nodes = [
        make.make_node("Mul", ["x", "factor"], ["m"]),
        make.make_node("Transpose", ["m"], ["t"], perm=[0, 2, 1]),
        make.make_node("Reshape", ["t", "shape"], ["y"]),
    ]
    x = make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2, 4])
    y = make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])
    model = make.make_model(make.make_graph(nodes, "g", [x], [y], [shape, factor]))
    before = model.SerializeToString()
    folding.fold(model)
    assert model.SerializeToString() == before
