"""The reader of protobuf's wire format: what the package `onnx` writes is read alike, everything odd is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service.engine.onnx_schema import SCHEMA
from service.engine.protobuf import REFUSED, MalformedMessage, parse
from tests.support.hostile import varint
from tests.support.models import classifier

MESSAGES = {
    "model": onnx.ModelProto,
    "opset": onnx.OperatorSetIdProto,
    "entry": onnx.StringStringEntryProto,
    "graph": onnx.GraphProto,
    "node": onnx.NodeProto,
    "attribute": onnx.AttributeProto,
    "tensor": onnx.TensorProto,
    "value": onnx.ValueInfoProto,
    "type": onnx.TypeProto,
    "tensor_type": onnx.TypeProto.Tensor,
    "element_type": onnx.TypeProto.Sequence,
    "map_type": onnx.TypeProto.Map,
    "shape": onnx.TensorShapeProto,
    "dimension": onnx.TensorShapeProto.Dimension,
}
# descriptor types of protobuf: https://protobuf.dev/reference/protobuf/google.protobuf/#field-descriptor-proto
KINDS = {
    1: {"doubles"},
    2: {"float", "floats"},
    3: {"int64", "varints"},
    4: {"varints"},
    5: {"int32", "varints"},
    9: {"text"},
    12: {"bytes"},
    14: {"int32"},
}
MESSAGE_TYPE = 11


@pytest.mark.parametrize("name", MESSAGES)
def test_the_table_of_fields_is_that_of_the_package_onnx(name: str) -> None:
    fields = {field.number: field for field in MESSAGES[name].DESCRIPTOR.fields}
    assert set(SCHEMA[name]) <= set(fields)
    for number, ours in SCHEMA[name].items():
        theirs = fields[number]
        if ours.kind == REFUSED:
            continue
        assert ours.name == theirs.name
        assert ours.repeated == theirs.is_repeated
        if theirs.type == MESSAGE_TYPE:
            wanted = {key for key, message in MESSAGES.items() if message.DESCRIPTOR is theirs.message_type}
            assert ours.kind in (wanted or {"element_type"})
        else:
            assert ours.kind in KINDS[theirs.type]


def read(name: str, data: bytes) -> dict[str, list[object]]:
    return parse(SCHEMA, name, data, 48)


def test_a_whole_model_is_read_as_the_package_onnx_reads_it() -> None:
    data = classifier()
    ours, theirs = read("model", data), onnx.load_from_string(data)
    (graph,) = ours["graph"]
    assert isinstance(graph, dict)
    assert [node["op_type"][0] for node in graph["node"]] == [node.op_type for node in theirs.graph.node]
    assert [list(t["dims"]) for t in graph["initializer"]] == [list(t.dims) for t in theirs.graph.initializer]
    assert [bytes(t["raw_data"][0]) for t in graph["initializer"]] == [t.raw_data for t in theirs.graph.initializer]
    assert ours["ir_version"] == [theirs.ir_version]


INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, max_size=20), st.floats(width=32, allow_nan=False), st.text(max_size=50))
@settings(max_examples=200, deadline=None)
def test_attributes_are_read_as_they_were_written(numbers: list[int], number: float, text: str) -> None:
    attribute = onnx.AttributeProto(name=text, f=number, ints=numbers, i=numbers[0] if numbers else 0, s=text.encode())
    found = read("attribute", attribute.SerializeToString())
    assert found.get("ints", []) == numbers
    assert found["f"] == [number]
    assert found["name"] == [text]
    assert bytes(found["s"][0]) == text.encode()  # type: ignore[call-overload]
    packed = b"\x42" + varint(len(packed_ints(numbers))) + packed_ints(numbers)
    assert read("attribute", packed).get("ints", []) == numbers


def packed_ints(numbers: list[int]) -> bytes:
    return b"".join(varint(number % 2**64) for number in numbers)


@given(st.lists(INT64, max_size=50))
def test_numbers_of_tensors_are_counted(numbers: list[int]) -> None:
    tensor = helper.make_tensor("t", TensorProto.INT64, [len(numbers)], numbers)
    assert sum(read("tensor", tensor.SerializeToString()).get("int64_data", [])) == len(numbers)  # type: ignore[call-overload]
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [3], [1, 2, 3])
    assert read("tensor", tensor.SerializeToString())["float_data"] == [3]
    raw = numpy_helper.from_array(np.arange(5), "t")
    assert bytes(read("tensor", raw.SerializeToString())["raw_data"][0]) == raw.raw_data  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("model", b"\x08", "cut off"),
        ("model", b"\x08\x80", "cut off"),
        ("model", b"\x08" + b"\x80" * 10 + b"\x01", "more than ten bytes"),
        ("model", b"\x08" + b"\xff" * 9 + b"\x7f", "does not fit into 64 bits"),
        ("model", b"\x12\x05abc", "cut off"),
        ("model", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc", "cut off"),
        ("model", b"\x12\x02\xff\xfe", "not UTF-8"),
        ("model", b"\x12\x02\xc0\x80", "not UTF-8"),
        ("model", b"\x08\x01\x08\x01", "stands there twice"),
        ("model", b"\x3a\x00\x3a\x00", "stands there twice"),
        ("model", b"\x0b\x0c", "wrong type"),  # a group, as in protobuf 1
        ("model", b"\x0a\x01\x01", "wrong type"),  # ir_version, packed
        ("model", b"\x09" + bytes(8), "wrong type"),
        ("model", b"\xf8\x01\x00", "field 31, which is not known"),
        ("model", b"\x00\x00", "field 0, which is not known"),
        ("tensor", b"\x10\x81\x80\x80\x80\x10", "does not fit into 32 bits"),  # 2**32 + 1, which libraries cut to 1
        ("attribute", b"\x15\x00\x00", "cut off"),
        ("graph", b"\x12" + varint(2**20 + 1) + bytes(2**20 + 1), "longer than 1,048,576 bytes"),
    ],
)
def test_what_is_odd_is_refused(name: str, data: bytes, words: str) -> None:
    with pytest.raises(MalformedMessage, match=words):
        read(name, data)


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in SCHEMA:
        try:
            read(name, data)
        except MalformedMessage as error:
            assert str(error)  # noqa: PT017 - either is fine, another exception is not
