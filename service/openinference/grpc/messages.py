"""The messages of inference.proto, as classes, from its compiled form inference.binpb.

They stand in a pool of their own: a program that embeds this service may load tritonclient too, whose messages have
the same names, and protobuf allows a name once a pool. It also ties us to no version of protobuf's generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Message = Any  # protobuf has no types of its own

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
