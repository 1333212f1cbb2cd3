"""Converts a Keras model to the ONNX graph that the service runs: raw pixels in, decoded probabilities out.

The cast, the division by 255 and the decoding are part of this graph: a program in any language can use the file
without knowing them. They are not part of the Keras model, so its summary stays the lecture's.
"""

from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx

from training.errors import ExportError, one_line
from training.folding import fold
from training.heads import Head

OPSET = 18  # the newest that tf2onnx 1.17 writes; ONNX Runtime 1.14 and later load it, and so does Triton 2.51


def onnx_graph(model: keras.Sequential, head: Head) -> onnx.ModelProto:
    """The exported graph, without metadata.

    Input `pixels` uint8 (N, 28, 28, 1), 0 to 255. Outputs `probabilities` float32 (N, 10), rows summing to 1, and for
    the lecture's head `lecture_output` float32 (N, 10, 10, 1). Raises ExportError for a model that is not a
    Sequential ending in Dense, or one with an operation that ONNX does not have.
    """
    _parts(model)  # checked here too: inside tf.function its message would be wrapped in "in user code: File ..."
    try:
        graph = _converted(model, head)
        onnx.checker.check_model(graph, full_check=True)
    except Exception as error:  # third-party converters raise exceptions of any type
        raise ExportError(f"{model.name} cannot be written as ONNX, opset {OPSET}: {one_line(error)}") from error
    return graph


def _converted(model: keras.Sequential, head: Head) -> onnx.ModelProto:
    """The graph as tf2onnx writes it, simplified."""
    pixels = tf.TensorSpec((None, 28, 28, 1), tf.uint8, name="pixels")
    traced = tf.function(lambda pixels: _answer(model, head, pixels), input_signature=[pixels])
    tf2onnx.logging.set_level(tf2onnx.logging.CRITICAL)  # what it cannot convert, onnx's checker reports as well
    graph: onnx.ModelProto
    graph, _ = tf2onnx.convert.from_function(traced, [pixels], opset=OPSET)
    fold(graph)
    _name_batch_axis(graph)
    _order_outputs(graph)
    _plain_onnx_only(graph)
    return graph


def _answer(model: keras.Sequential, head: Head, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """What the graph computes. Decoding starts from the logits of the last Dense, before its softmax (heads.py)."""
    # The graph repeats what training did, or its answers are worthless: the same division by 255 in the same order.
    body, last = _parts(model)
    values = tf.cast(pixels, tf.float32) / 255.0
    for layer in body:
        values = _apply(layer, values)
    # A Dense layer is a matrix product plus a bias. What comes out before the softmax is called logits.
    logits = tf.matmul(values, last.kernel)
    if last.use_bias:
        logits += last.bias
    answer = {"probabilities": tf.nn.softmax(head.log_scores(logits))}
    if head.keeps_output:
        answer["lecture_output"] = tf.reshape(tf.nn.softmax(logits), (-1, *model.output_shape[1:]))
    return answer


def _parts(model: keras.Sequential) -> tuple[list[keras.layers.Layer], keras.layers.Dense]:
    """(the layers before the last Dense, the last Dense); only a Reshape may follow it."""
    if not isinstance(model, keras.Sequential):
        raise ExportError(f"{model.name} is not a Sequential model; export walks through layers in a row only.")
    layers = list(model.layers)
    while layers and isinstance(layers[-1], keras.layers.Reshape):
        layers.pop()
    last = layers.pop() if layers else None
    if not isinstance(last, keras.layers.Dense) or getattr(last.activation, "__name__", "") != "softmax":
        raise ExportError(
            f"{model.name} ends in a {type(last).__name__} layer; expected a Dense layer with softmax "
            '(activation="softmax"), then at most a Reshape.'
        )
    return layers, last


def _apply(layer: keras.layers.Layer, values: tf.Tensor) -> tf.Tensor:
    """One layer as in use, not as in training: with training=False, dropout returns its input and leaves no node.

    Keras's Flatten and Reshape look up the batch size at run time, which becomes Shape, Gather, Slice, Concat, Cast and
    Reshape in ONNX. The shape of one row is known, so a single Reshape to (-1, 784) does the same.
    """
    if isinstance(layer, keras.layers.Flatten | keras.layers.Reshape):
        return tf.reshape(values, (-1, *layer.output.shape[1:]))
    return layer(values, training=False)


def _name_batch_axis(graph: onnx.ModelProto) -> None:
    """Name the first axis of inputs and outputs N; tf2onnx gives each a generated name."""
    for value in [*graph.graph.input, *graph.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del graph.graph.value_info[:]  # the inner shapes use the generated names


def _order_outputs(graph: onnx.ModelProto) -> None:
    """Put `probabilities` first: many clients read only the first output."""
    outputs = sorted(graph.graph.output, key=lambda value: value.name != "probabilities")
    ordered = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    del graph.graph.output[:]
    graph.graph.output.extend(ordered)


def _plain_onnx_only(graph: onnx.ModelProto) -> None:
    """Declare the standard operators only: tf2onnx adds ai.onnx.ml, and a runtime without it would reject the file."""
    plain = [onnx.helper.make_opsetid("", OPSET)]
    del graph.opset_import[:]
    graph.opset_import.extend(plain)


def stamp(graph: onnx.ModelProto, properties: dict[str, Any]) -> bytes:
    """The graph as the bytes of a file, with `properties` as its metadata, so that the file alone explains itself."""
    stamped = onnx.ModelProto.FromString(graph.SerializeToString())
    stamped.producer_name, stamped.producer_version = "digit-recognizer", ""
    onnx.helper.set_model_props(stamped, {name: str(value) for name, value in properties.items()})
    return bytes(stamped.SerializeToString())
