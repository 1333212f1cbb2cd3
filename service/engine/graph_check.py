"""Is an ONNX file a program that may run here? Judged from its bytes, before ONNX Runtime is given the same bytes.

A model is a program: it can name files to load (external data), loop for ever, or ask for more memory than there is.
`check_graph` accepts operators of a list, in the two domains of ONNX, with bounded numbers, sizes and nesting, and no
data outside the file. What it accepts is still tried out in a process of its own (validation.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

from service.engine.onnx_schema import EXTERNAL, SCHEMA
from service.engine.operators import DOMAINS, ENVIRONMENT, ONNX, Operators
from service.engine.protobuf import MalformedMessage, Message, parse
from service.errors import ModelBroken
from service.repository.bounded_file import MAX_MODEL_BYTES

MAX_TENSOR_BYTES = MAX_MODEL_BYTES  # of one tensor that a shape describes, for one digit
MAX_NODES = 10_000
MAX_SUBGRAPHS = 3  # inside one another
MAX_DEPTH = 48  # protobuf messages inside one another: a graph inside a graph is three
MAX_RANK = 8
MAX_NAME_BYTES = 1024
MAX_WINDOW = 1024  # of a kernel, its stride, dilation and padding
WINDOWS = {"kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape", "blocksize"}
NAMED = ("name", "op_type", "input", "output", "domain", "dim_param")
SUBGRAPHS = {"If", "Loop", "Scan", "SequenceMap"}

ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2} | dict.fromkeys(
    range(17, 21), 1
)  # by TensorProto.DataType; no complex numbers, and none of less than a byte
STRINGS = 8
TYPED_DATA = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
ALL_TYPED_DATA = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


class _Unacceptable(Exception):
    """The text is a clause that ends a sentence."""


def check_graph(data: bytes, operators: Operators) -> None:
    """Accept the bytes of an ONNX file, or say why not.

    Args:
        data: the file.
        operators: those that it may use.

    Raises:
        ModelBroken: it is no ONNX file, or one that must not be run.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelBroken(f"The model file has {len(data):,} bytes; at most {MAX_MODEL_BYTES:,} are read.")
    try:
        model = parse(SCHEMA, "model", data, MAX_DEPTH)
    except MalformedMessage as error:
        raise ModelBroken(f"The model file is not accepted as ONNX: {error}.") from None
    try:
        _Walk(operators).model(model)
    except _Unacceptable as error:
        raise ModelBroken(f"The model file is not accepted: {error}.") from None


class _Walk:
    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        self._nodes = 0

    def model(self, model: Message) -> None:
        for opset in model.get("opset_import", ()):
            domain = _one(opset, "domain", "")
            if (domain or ONNX) not in DOMAINS:
                raise _Unacceptable(f"it imports operators of the domain {_shown(domain)}, which is not one of ONNX's")
        if "graph" not in model:
            raise _Unacceptable("it has no graph")
        if any(_one(entry, "key", "") == "ort_config" for entry in model.get("metadata_props", ())):
            raise _Unacceptable("its metadata hold settings for ONNX Runtime (ort_config)")
        self._graph(model["graph"][0], 0)

    def _graph(self, graph: Message, level: int) -> None:
        if level > MAX_SUBGRAPHS:
            raise _Unacceptable(f"it nests more than {MAX_SUBGRAPHS} graphs inside one another")
        _check_names(graph)
        for tensor in graph.get("initializer", ()):
            _check_tensor(tensor)
        for kind in ("input", "output", "value_info"):
            for value in graph.get(kind, ()):
                _check_value(value)
        constants = {_one(tensor, "name", "") for tensor in graph.get("initializer", ())}
        constants -= {_one(value, "name", "") for value in graph.get("input", ())}  # callers could give another value
        for node in graph.get("node", ()):
            self._node(node, level, constants)

    def _node(self, node: Message, level: int, constants: set[str]) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Unacceptable(f"it has more than {MAX_NODES:,} nodes")
        _check_names(node)
        domain, kind = _one(node, "domain", ""), _one(node, "op_type", "")
        if (domain or ONNX) not in DOMAINS:
            raise _Unacceptable(f"a node is of the domain {_shown(domain)}, which is not one of ONNX's")
        if not self._operators.allows(domain, kind):
            raise _Unacceptable(
                f"it uses the operator {_shown(kind)}, which {ENVIRONMENT} does not allow here; "
                "allow it there if you trust the model"
            )
        if kind == "Constant":
            constants.update(node.get("output", ()))
        if kind == "Pad" and not self._operators.everything and not constants.issuperset(node.get("input", ())[1:2]):
            raise _Unacceptable("it computes how much a Pad adds; that must be a constant")
        for attribute in node.get("attribute", ()):
            self._attribute(kind, attribute, level)

    def _attribute(self, kind: str, attribute: Message, level: int) -> None:
        _check_names(attribute)
        for tensor in _each(attribute, "t", "tensors"):
            _check_tensor(tensor)
        for declared in _each(attribute, "tp", "type_protos"):
            _check_type(declared)
        name = _one(attribute, "name", "")
        numbers = attribute.get("ints", [])
        if name in WINDOWS and any(abs(number) > MAX_WINDOW for number in [*numbers, *attribute.get("i", ())]):
            raise _Unacceptable(f"the {name} of a {_shown(kind)} are larger than {MAX_WINDOW:,}")
        for graph in _each(attribute, "g", "graphs"):
            if kind not in SUBGRAPHS:
                raise _Unacceptable(f"a node {_shown(kind)} holds a graph, which that operator does not have")
            self._graph(graph, level + 1)


def _check_tensor(tensor: Message) -> None:
    """Its data stand in the file, whole, and are as long as its shape and type say."""
    _check_names(tensor)
    if _one(tensor, "data_location", 0) != 0:
        raise _Unacceptable(EXTERNAL)
    kind, count = _one(tensor, "data_type", 0), _elements(tensor.get("dims", []))
    typed = [name for name in ALL_TYPED_DATA if name in tensor]
    if "raw_data" in tensor and kind in ELEMENT_BYTES and not typed:
        fits = len(tensor["raw_data"][0]) == count * ELEMENT_BYTES[kind]
    elif kind == STRINGS and "raw_data" not in tensor and set(typed) <= {"string_data"}:
        fits = len(tensor.get("string_data", ())) == count
    elif kind in ELEMENT_BYTES and "raw_data" not in tensor and set(typed) <= {TYPED_DATA.get(kind, "int32_data")}:
        fits = sum(sum(tensor[name]) for name in typed) == count
    else:
        raise _Unacceptable(f"a tensor has elements of type {kind} in a form that is not read here")
    if not fits:
        raise _Unacceptable("a tensor does not hold as many numbers as its shape says")


def _check_value(value: Message) -> None:
    _check_names(value)
    for declared in value.get("type", ()):
        _check_type(declared)


def _check_type(declared: Message) -> None:
    for inner in _each(declared, "sequence_type", "optional_type"):
        for element in inner.get("elem_type", ()):
            _check_type(element)
    for mapping in declared.get("map_type", ()):
        for element in mapping.get("value_type", ()):
            _check_type(element)
    for tensor in declared.get("tensor_type", ()):
        for shape in tensor.get("shape", ()):
            dimensions = shape.get("dim", [])
            _elements([_one(dimension, "dim_value", 1) for dimension in dimensions])
            for dimension in dimensions:
                _check_names(dimension)


def _elements(dims: list[int]) -> int:
    """How many elements a shape has, if it is one that may be had."""
    if len(dims) > MAX_RANK:
        raise _Unacceptable(f"a shape has {len(dims)} axes; at most {MAX_RANK} are allowed")
    if any(not 0 <= size <= MAX_TENSOR_BYTES for size in dims) or prod(dims) > MAX_TENSOR_BYTES:
        raise _Unacceptable("a shape is negative or too large")
    return prod(dims)


def _check_names(message: Message) -> None:
    for key in NAMED:
        for name in message.get(key, ()):
            if isinstance(name, str) and len(name) > MAX_NAME_BYTES:
                raise _Unacceptable(f"a name is longer than {MAX_NAME_BYTES:,} characters")


def _each(message: Message, *keys: str) -> Iterator[Any]:
    for key in keys:
        yield from message.get(key, ())


def _one(message: Message, key: str, default: Any) -> Any:
    values: Iterable[Any] = message.get(key) or (default,)
    return next(iter(values))


def _shown(text: str) -> str:
    """Somebody else's word in a sentence of ours."""
    return text if text.isascii() and text.replace(".", "").isalnum() and len(text) <= 40 else repr(text[:40])
