"""Implements GRPCInferenceService with the same functions as the HTTP routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict

from service.access.client import Client
from service.context import Context
from service.engine.resolve import resolve_version
from service.errors import BadRequest, DigitsError, Forbidden
from service.openinference.grpc import converters, messages
from service.openinference.grpc.messages import Message
from service.openinference.index import check_load_parameters, index
from service.openinference.inference import lecture_of, limits_of, outputs_of, pixels_of, split_outputs
from service.openinference.metadata import model_config, model_metadata, server_metadata
from service.openinference.readiness import check_server, check_version
from service.openinference.statistics import statistics


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call needs to know besides its message.

    Attributes:
        client: who called.
        request_id: for logs, feedback and the choice of a canary.
        began_ns: when decoding of the message began, of the performance counter.
    """

    client: Client
    request_id: bytes
    began_ns: int


class Servicer:
    """One async method per rpc, with the rpc's name: (message, caller) -> message."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = limits_of(context.settings)

    def _check_admin(self, caller: Caller) -> None:
        if self._context.settings.admin_port is not None:
            raise Forbidden("Admin calls have a port of their own, which speaks HTTP: DIGITS_ADMIN_PORT.")
        self._context.gate.require(caller.client, "admin")

    async def ServerLive(self, _: Message, __: Caller) -> Message:
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Message, __: Caller) -> Message:
        return messages.ServerReadyResponse(ready=_succeeds(lambda: check_server(self._context)))

    async def ServerMetadata(self, _: Message, __: Caller) -> Message:
        return _as(messages.ServerMetadataResponse, server_metadata())

    async def ModelReady(self, request: Message, _: Caller) -> Message:
        found = _succeeds(lambda: check_version(self._context, request.name, request.version))
        return messages.ModelReadyResponse(ready=found)

    async def ModelMetadata(self, request: Message, _: Caller) -> Message:
        found = model_metadata(self._context.engine, request.name, request.version)
        return _as(messages.ModelMetadataResponse, found)

    async def ModelConfig(self, request: Message, _: Caller) -> Message:
        found = model_config(self._context, request.name, request.version)
        return _as(messages.ModelConfigResponse, {"config": found})

    async def ModelStatistics(self, request: Message, _: Caller) -> Message:
        found = await statistics(self._context, request.name, request.version if request.name else "")
        return _as(messages.ModelStatisticsResponse, found)

    async def ModelInfer(self, request: Message, caller: Caller) -> Message:
        context, name, version = self._context, request.model_name, request.model_version
        outputs = outputs_of(resolve_version(context.engine, name, version))
        inference = context.inference(caller.request_id, caller.client, caller.began_ns)
        request = await converters.read(request, outputs, self._limits)
        pixels = await pixels_of(request, context)
        values = await inference.predict(name, version, pixels, lecture_of(request))
        served = inference.version
        labels = served.model.classes()
        answer = await converters.write(served.name, served.version, request, split_outputs(values, request), labels)
        inference.finish()
        return answer

    async def RepositoryIndex(self, request: Message, _: Caller) -> Message:
        _only_repository(request)
        found = await index(self._context, request.ready)
        return _as(messages.RepositoryIndexResponse, {"models": found})

    async def RepositoryModelLoad(self, request: Message, caller: Caller) -> Message:
        self._check_admin(caller)
        _only_repository(request)
        check_load_parameters(dict(request.parameters))
        await self._context.watcher.load(request.model_name)
        return messages.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Message, caller: Caller) -> Message:
        self._check_admin(caller)
        _only_repository(request)
        await self._context.watcher.unload(request.model_name)
        return messages.RepositoryModelUnloadResponse()


def _succeeds(check: Callable[[], object]) -> bool:
    """Whether `check` returns without a DigitsError."""
    try:
        check()
    except DigitsError:
        return False
    return True


def _as(kind: Any, found: dict[str, Any]) -> Message:
    return ParseDict(found, kind(), ignore_unknown_fields=True, descriptor_pool=messages.pool)


def _only_repository(request: Message) -> None:
    if request.repository_name:
        raise BadRequest("The only repository has no name; leave repository_name out.")
