"""Our messages are Triton's, and the compiled file is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

from service.openinference.grpc import messages


def test_our_messages_are_tritons() -> None:
    """Every message, field, number and type of inference.proto is the same in the files that tritonclient ships."""
    theirs = {}
    for module in (service_pb2, model_config_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs |= {one.name: one for one in (*file.message_type, *file.enum_type)}
    data = (Path(messages.__file__).parent / "inference.binpb").read_bytes()
    for one in descriptor_pb2.FileDescriptorSet.FromString(data).file[0].message_type:
        agree(one, theirs[one.name])


def agree(ours: Any, theirs: Any) -> None:
    known = {field.name: field for field in theirs.field}
    for field in ours.field:
        other = known[field.name]
        for what in ("number", "type", "label", "type_name"):
            assert getattr(field, what) == getattr(other, what), (ours.name, field.name, what)
        assert field.HasField("oneof_index") == other.HasField("oneof_index")
    nested = {one.name: one for one in (*theirs.nested_type, *theirs.enum_type)}
    for one in ours.nested_type:
        agree(one, nested[one.name])
    for one in ours.enum_type:
        assert [(v.name, v.number) for v in one.value] == [(v.name, v.number) for v in nested[one.name].value]


def test_the_compiled_file_is_that_of_the_source(tmp_path: Path) -> None:
    folder, out = Path(messages.__file__).parent, tmp_path / "out"
    # in a process of its own: where TensorFlow is loaded too, the compiler within it ends this one with SIGSEGV
    arguments = [f"-I{folder}", f"--descriptor_set_out={out}", "inference.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, timeout=60)
    assert out.read_bytes() == (folder / "inference.binpb").read_bytes()
