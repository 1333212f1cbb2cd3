"""ONNX files that must not reach the service: twenty of each class, made from the classifier of models.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.models import classifier

EACH = 20
Change = Callable[[onnx.ModelProto], Any]


def changed(*changes: Change) -> bytes:
    """The classifier with changes."""
    model = onnx.load_from_string(classifier())
    for change in changes:
        change(model)
    return bytes(model.SerializeToString())


def initializers(**arrays: Any) -> Change:
    """Adds initializers."""
    return lambda model: model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items()
    )


def before_softmax(*nodes: onnx.NodeProto) -> Change:
    """Puts nodes between the logits and the Softmax: the first reads "logits", the last writes "changed"."""

    def change(model: onnx.ModelProto) -> None:
        for place, node in enumerate(nodes, 3):
            model.graph.node.insert(place, node)
        model.graph.node[3 + len(nodes)].input[0] = "changed"

    return change


# -- loops --------------------------------------------------------------------------------------------------------


def loop_body(*inside: onnx.NodeProto) -> onnx.GraphProto:
    """Adds nothing to a value, once per turn, for as long as the condition that came holds."""
    nodes = [
        *inside,
        helper.make_node("Identity", ["again"], ["go_on"]),
        helper.make_node("Identity", ["value"], ["same"]),
    ]
    inputs = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("again", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
    ]
    outputs = [
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("same", TensorProto.FLOAT, None),
    ]
    return helper.make_graph(nodes, "body", inputs, outputs)


def loops(always: bool = False, turns: int = 2**40) -> bytes:
    """A classifier that loops for ever where the last pixel of any digit is not 0; on all digits if `always`."""
    steps = [
        helper.make_node("Slice", ["rows", "first", "last", "axis"], ["corner"]),
        helper.make_node("ReduceMax", ["corner"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["counted"], to=TensorProto.INT64),
        helper.make_node("Add", ["counted", "at_least"], ["more"]),
        helper.make_node("Mul", ["more", "turns"], ["limit"]),
        helper.make_node("Loop", ["limit", "true", "logits"], ["changed"], body=loop_body()),
    ]
    numbers = {"first": [783], "last": [784], "axis": [1], "at_least": int(always), "turns": turns}
    constants = {name: np.int64(number) for name, number in numbers.items()} | {"true": np.bool_(True)}
    return changed(initializers(**constants), before_softmax(*steps))


def expands(side: int) -> bytes:
    """A classifier that makes a tensor of `side` floats on its way and needs it for its answer."""
    steps = [
        helper.make_node("ConstantOfShape", ["side"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["logits", "nothing"], ["changed"]),
    ]
    return changed(initializers(side=np.int64([side])), before_softmax(*steps))


def _endless() -> Iterator[bytes]:
    for bits in range(30, 62, 4):
        yield loops(always=True, turns=2**bits)
    for depth in range(1, 7):
        body = loop_body()
        for _ in range(depth):
            body = loop_body(helper.make_node("Loop", ["turn", "again", "value"], ["inner"], body=body))
        node = helper.make_node("Loop", ["", "true", "logits"], ["changed"], body=body)
        yield changed(initializers(true=np.bool_(True)), before_softmax(node))
    for name in ("Scan", "SequenceMap", "If", "Loop", "Range", "NonZero"):
        yield changed(before_softmax(helper.make_node(name, ["logits"], ["changed"], body=loop_body())))


# -- everything else ----------------------------------------------------------------------------------------------

LOCATIONS = [
    "./weights.bin",
    "weights.bin",
    "../feedback.sqlite",
    "/etc/passwd",
    "feedback.sqlite",
    "",
    "*/_ORT_MEM_ADDR_/*",
]


def _external() -> Iterator[bytes]:
    def move(tensor: TensorProto, location: str, marked: bool) -> None:
        tensor.ClearField("raw_data")
        if marked:
            tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "31360")):
            tensor.external_data.add(key=key, value=value)

    def constant(location: str, marked: bool) -> Change:
        tensor = numpy_helper.from_array(np.zeros((784, 10), np.float32), "values")
        move(tensor, location, marked)
        return lambda model: model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=tensor))

    for location in LOCATIONS:
        yield changed(lambda m, at=location: move(m.graph.initializer[0], at, True))
        yield changed(lambda m, at=location: move(m.graph.initializer[0], at, False))
        yield changed(constant(location, True))


def _tensor(kind: int, dims: list[int], **data: Any) -> Change:
    return lambda model: model.graph.initializer.append(TensorProto(name="more", data_type=kind, dims=dims, **data))


def _huge() -> Iterator[bytes]:
    shapes = [
        [1_500_000_000],
        [2**31, 1],
        [2**16, 2**16],
        [2**32, 2**32],
        [2**63 - 1],
        [-1],
        [2**62, 4],
        [0, -5],
        [10] * 9,
        [40_000] * 2,
    ]
    for dims, kind in product(shapes, (TensorProto.FLOAT, TensorProto.UINT8)):
        yield changed(_tensor(kind, dims, raw_data=bytes(16)))


def _giant() -> Iterator[bytes]:
    for side in (2**30, 2**33, 2**40, 2**62):
        yield expands(side)
        for name in ("Expand", "Tile", "Resize", "OneHot"):
            yield changed(
                initializers(much=np.int64([side, 10])),
                before_softmax(helper.make_node(name, ["logits", "much"], ["changed"])),
            )


def _nested_if(depth: int) -> bytes:
    """Written field by field: protobuf's own libraries refuse to go as deep."""

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    graph = b""
    for _ in range(depth):
        branch = field(1, b"then_branch") + field(6, graph) + varint(20 << 3) + varint(5)
        node = field(1, b"true") + field(2, b"changed") + field(4, b"If") + field(5, branch)
        graph = field(1, node) + field(2, b"inside")
    return classifier() + field(7, graph) if depth % 2 else field(8, b"\x10\x11") + field(7, graph)


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _deep() -> Iterator[bytes]:
    for depth in (1, 2, 3, 4, 5, 6, 8, 10, 15, 16, 20, 40, 64, 99, 100, 101, 250, 500, 1000, 5000):
        yield _nested_if(depth)


def _custom() -> Iterator[bytes]:
    for domain in (
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "evil",
        "ai.onnx.preview.training",
        "ai.onnx.training",
        "ai.onnx ",
    ):
        opset = helper.make_opsetid(domain, 1)
        yield changed(lambda m, o=opset: m.opset_import.append(o))
        yield changed(before_softmax(helper.make_node("Identity", ["logits"], ["changed"], domain=domain)))
        yield changed(
            lambda m, o=opset: m.opset_import.append(o),
            before_softmax(helper.make_node("EPContext", ["logits"], ["changed"], domain=domain)),
        )
    function = helper.make_function("", "Softmax", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    yield changed(lambda m: m.functions.append(function))


def _constant(**attribute: Any) -> Change:
    made = onnx.AttributeProto(name="value", **attribute)
    node = onnx.NodeProto(op_type="Constant", output=["unused"], attribute=[made])
    return lambda model: model.graph.node.insert(0, node)


def _crafted() -> Iterator[bytes]:
    kind = onnx.AttributeProto
    numbers = numpy_helper.from_array(np.float32([1, 2]), "values")
    for wrong in (
        {"dims": [3], "raw_data": bytes(4)},
        {"dims": [2], "raw_data": bytes(9)},
        {"dims": [2**40], "float_data": [1.0]},
        {"dims": [-1], "float_data": [1.0]},
        {"dims": [1], "float_data": [1.0], "raw_data": bytes(4)},
        {"dims": [1], "int64_data": [1]},
        {"dims": [2], "float_data": [1.0]},
        {"dims": [1], "segment": TensorProto.Segment(begin=0, end=2**40), "raw_data": bytes(4)},
        {"dims": [1] * 9, "float_data": [1.0]},
        {"dims": [1], "data_location": TensorProto.EXTERNAL, "raw_data": bytes(4)},
    ):
        yield changed(_constant(type=kind.TENSOR, t=TensorProto(data_type=TensorProto.FLOAT, **wrong)))
    for element in (0, TensorProto.COMPLEX64, TensorProto.UINT4, 99, -1):
        yield changed(_constant(type=kind.TENSOR, t=TensorProto(data_type=element, dims=[1], raw_data=bytes(8))))
    sparse = onnx.SparseTensorProto(values=numbers, indices=numpy_helper.from_array(np.int64([0, 1])), dims=[2**40])
    yield changed(_constant(type=kind.SPARSE_TENSOR, sparse_tensor=sparse))
    yield changed(lambda m: m.graph.sparse_initializer.append(sparse))
    yield changed(_constant(type=kind.GRAPH, g=loop_body()))
    yield changed(_constant(ref_attr_name="value", type=kind.TENSOR))
    yield changed(_constant(type=kind.GRAPHS, graphs=[loop_body()]))


def _truncated() -> Iterator[bytes]:
    data = classifier()
    for place in range(EACH):
        yield data[: len(data) * place // EACH + place]


def fuzzed(seed: int) -> bytes:
    """One mutation of the classifier, of its structure more often than of its weights."""
    chance = random.Random(seed)
    data = bytearray(classifier())
    weights = data.index(bytes(2000))  # most are zero
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(data))
        while weights <= place < len(data) - 500:
            place = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 12)))
            case 3:
                del data[place : place + chance.randrange(1, 12)]
            case 4:
                other = chance.randrange(300)
                data[place:place] = data[other : other + chance.randrange(1, 60)]
            case _:
                data[place : place + 1] = varint(chance.choice((2**31, 2**32 + 1, 2**62, 2**63, 2**64 - 1)))
    return bytes(data)


def _first(files: Iterator[bytes]) -> list[bytes]:
    found = list(islice(files, EACH))
    assert len(found) == EACH, len(found)
    return found


HOSTILE: dict[str, list[bytes]] = {
    "external data": _first(_external()),
    "huge initializer": _first(_huge()),
    "giant shapes": _first(_giant()),
    "endless loop": _first(_endless()),
    "deep nesting": _first(_deep()),
    "custom domain": _first(_custom()),
    "crafted Constant": _first(_crafted()),
    "truncated": _first(_truncated()),
}
