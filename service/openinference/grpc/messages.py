"""Message classes of inference.proto, built at import from its compiled form inference.binpb.

They have their own descriptor pool, because protobuf allows each name once per pool, and tritonclient, which may run in
the same process, uses the same names. Building them at import also needs no code from a particular protoc version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Message = Any  # protobuf's classes have no static types

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

pool = DescriptorPool()
for _file in FileDescriptorSet.FromString((Path(__file__).parent / "inference.binpb").read_bytes()).file:
    pool.AddSerializedFile(_file.SerializeToString())


def message(name: str) -> Message:
    """The class of one message."""
    return GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def methods() -> list[Any]:
    """Descriptors of the service's methods."""
    return list(pool.FindServiceByName(SERVICE).methods)


ServerLiveResponse = message("ServerLiveResponse")
ServerReadyResponse = message("ServerReadyResponse")
ServerMetadataResponse = message("ServerMetadataResponse")
ModelReadyResponse = message("ModelReadyResponse")
ModelMetadataResponse = message("ModelMetadataResponse")
ModelConfigResponse = message("ModelConfigResponse")
ModelStatisticsResponse = message("ModelStatisticsResponse")
ModelInferResponse = message("ModelInferResponse")
ModelStreamInferResponse = message("ModelStreamInferResponse")
RepositoryIndexResponse = message("RepositoryIndexResponse")
RepositoryModelLoadResponse = message("RepositoryModelLoadResponse")
RepositoryModelUnloadResponse = message("RepositoryModelUnloadResponse")
