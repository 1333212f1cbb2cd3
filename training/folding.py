"""Does two steps of the graph once, at export, instead of for every digit that is read.

Each step looks for one exact pattern and changes nothing where it does not find it. parity.py checks the result.
"""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

CHANNELS_LAST = [0, 2, 3, 1]  # the axes of a Transpose from ONNX's (n, c, h, w) to Keras's (n, h, w, c)


def fold(model: onnx.ModelProto) -> None:
    """Change the graph in place: the same answers with fewer nodes."""
    _fold_transpose(model)
    _fold_scale(model.graph)
    _drop_unused(model.graph)


def _fold_transpose(model: onnx.ModelProto) -> None:
    """Transpose -> Reshape -> MatMul becomes Reshape -> MatMul with the weights' rows in the other order.

    Keras flattens (h, w, c), ONNX computes (c, h, w). Reordering the 784 rows of the weights once has the same effect
    as reordering 784 numbers for every digit: a matrix product does not depend on the order of its terms.
    """
    graph, numbers = model.graph, _numbers_per_digit(model)
    for transpose in [node for node in graph.node if node.op_type == "Transpose"]:
        reshape = _only_reader(graph, transpose, "Reshape")
        matmul = _only_reader(graph, reshape, "MatMul") if reshape else None
        channels = _channels(graph, transpose.input[0])
        if matmul is None or channels is None or onnx.helper.get_node_attr_value(transpose, "perm") != CHANNELS_LAST:
            continue
        if reshape is None or not _is_initializer(graph, matmul.input[1]):
            continue
        weights = _initializer(graph, matmul.input[1])
        if len(weights) != numbers.get(transpose.output[0]):  # a Reshape to (49, 16) leaves 16 rows of weights, not 784
            continue
        by_channel = weights.reshape(-1, channels, weights.shape[1]).transpose(1, 0, 2)
        _replace(graph, matmul.input[1], by_channel.reshape(weights.shape))
        reshape.input[0] = transpose.input[0]
        graph.node.remove(transpose)


def _fold_scale(graph: onnx.GraphProto) -> None:
    """Mul by 1/255 -> Reshape -> Conv becomes Reshape -> Conv with weights that are 255 times smaller.

    sum(w * (x / 255)) = sum((w / 255) * x): a convolution is linear, so the normalisation moves into its weights. The
    service then feeds it raw bytes. The bias is added after the sum and stays as it is.
    """
    for scale in [node for node in graph.node if node.op_type == "Mul"]:
        reshape = _only_reader(graph, scale, "Reshape")
        convolution = _only_reader(graph, reshape, "Conv") if reshape else None
        if reshape is None or convolution is None or not _is_initializer(graph, scale.input[1]):
            continue
        factor = _initializer(graph, scale.input[1])
        if factor.size != 1:
            continue
        _replace(graph, convolution.input[1], _initializer(graph, convolution.input[1]) * factor)
        reshape.input[0] = scale.input[0]
        graph.node.remove(scale)


def _only_reader(graph: onnx.GraphProto, node: onnx.NodeProto, kind: str) -> onnx.NodeProto | None:
    """The node that reads this node's output, if there is exactly one and it is of that kind."""
    readers = [each for each in graph.node if node.output[0] in each.input]
    return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None


def _numbers_per_digit(model: onnx.ModelProto) -> dict[str, int]:
    """The number of elements that each value has per digit, 0 where it is not known."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {value.name: math.prod(size.dim_value for size in value.type.tensor_type.shape.dim[1:]) for value in values}


def _channels(graph: onnx.GraphProto, value: str) -> int | None:
    """The number of filters of the convolution that made this value, looking back through ReLU and pooling."""
    maker = {output: node for node in graph.node for output in node.output}
    node = maker.get(value)
    while node is not None and node.op_type in ("Relu", "MaxPool"):
        node = maker.get(node.input[0])
    return _initializer(graph, node.input[1]).shape[0] if node is not None and node.op_type == "Conv" else None


def _is_initializer(graph: onnx.GraphProto, name: str) -> bool:
    return any(each.name == name for each in graph.initializer)


def _initializer(graph: onnx.GraphProto, name: str) -> NDArray[np.float32]:
    return numpy_helper.to_array(next(each for each in graph.initializer if each.name == name))


def _replace(graph: onnx.GraphProto, name: str, values: NDArray[np.float32]) -> None:
    old = next(each for each in graph.initializer if each.name == name)
    old.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for each in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(each)
