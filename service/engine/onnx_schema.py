"""The messages of an ONNX file and their fields, as onnx.proto has them. A test compares them with the package `onnx`.

Fields that a served model must not use say why. Those that nothing writes are absent, and refused like unknown ones.
"""

from __future__ import annotations

from service.engine.protobuf import REFUSED, Field


def _many(name: str, kind: str) -> Field:
    return Field(name, kind, repeated=True)


EXTERNAL = "its weights are in another file (external data); publish it as one file"
_SPARSE = Field("it has sparse tensors, whose size says nothing about what they take", REFUSED)

SCHEMA: dict[str, dict[int, Field]] = {
    "model": {
        1: Field("ir_version", "int64"),
        2: Field("producer_name", "text"),
        3: Field("producer_version", "text"),
        4: Field("domain", "text"),
        5: Field("model_version", "int64"),
        6: Field("doc_string", "text"),
        7: Field("graph", "graph"),
        8: _many("opset_import", "opset"),
        14: _many("metadata_props", "entry"),
        20: Field("it holds instructions for training", REFUSED),
        25: Field("it defines functions of its own", REFUSED),
        26: Field("it is cut into parts for several devices", REFUSED),
    },
    "opset": {1: Field("domain", "text"), 2: Field("version", "int64")},
    "entry": {1: Field("key", "text"), 2: Field("value", "text")},
    "graph": {
        1: _many("node", "node"),
        2: Field("name", "text"),
        5: _many("initializer", "tensor"),
        10: Field("doc_string", "text"),
        11: _many("input", "value"),
        12: _many("output", "value"),
        13: _many("value_info", "value"),
        14: Field("it has annotations for quantization", REFUSED),
        15: _SPARSE,
        16: _many("metadata_props", "entry"),
    },
    "node": {
        1: _many("input", "text"),
        2: _many("output", "text"),
        3: Field("name", "text"),
        4: Field("op_type", "text"),
        5: _many("attribute", "attribute"),
        6: Field("doc_string", "text"),
        7: Field("domain", "text"),
        9: _many("metadata_props", "entry"),
    },
    "attribute": {
        1: Field("name", "text"),
        2: Field("f", "float"),
        3: Field("i", "int64"),
        4: Field("s", "bytes"),
        5: Field("t", "tensor"),
        6: Field("g", "graph"),
        7: _many("floats", "float"),
        8: _many("ints", "int64"),
        9: _many("strings", "bytes"),
        10: _many("tensors", "tensor"),
        11: _many("graphs", "graph"),
        13: Field("doc_string", "text"),
        14: Field("tp", "type"),
        15: _many("type_protos", "type"),
        20: Field("type", "int32"),
        21: Field("an attribute refers to one of a function, and there are none", REFUSED),
        22: _SPARSE,
        23: _SPARSE,
    },
    "tensor": {
        1: _many("dims", "int64"),
        2: Field("data_type", "int32"),
        3: Field("a tensor is stored in segments", REFUSED),
        4: _many("float_data", "floats"),
        5: _many("int32_data", "varints"),
        6: _many("string_data", "bytes"),
        7: _many("int64_data", "varints"),
        8: Field("name", "text"),
        9: Field("raw_data", "bytes"),
        10: _many("double_data", "doubles"),
        11: _many("uint64_data", "varints"),
        12: Field("doc_string", "text"),
        13: Field(EXTERNAL, REFUSED),
        14: Field("data_location", "int32"),
        16: _many("metadata_props", "entry"),
    },
    "value": {
        1: Field("name", "text"),
        2: Field("type", "type"),
        3: Field("doc_string", "text"),
        4: _many("metadata_props", "entry"),
    },
    "type": {
        1: Field("tensor_type", "tensor_type"),
        4: Field("sequence_type", "element_type"),
        5: Field("map_type", "map_type"),
        6: Field("denotation", "text"),
        9: Field("optional_type", "element_type"),
    },
    "tensor_type": {1: Field("elem_type", "int32"), 2: Field("shape", "shape")},
    "element_type": {1: Field("elem_type", "type")},
    "map_type": {1: Field("key_type", "int32"), 2: Field("value_type", "type")},
    "shape": {1: _many("dim", "dimension")},
    "dimension": {1: Field("dim_value", "int64"), 2: Field("dim_param", "text"), 3: Field("denotation", "text")},
}
