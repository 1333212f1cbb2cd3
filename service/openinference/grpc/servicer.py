"""What each call of GRPCInferenceService answers: the same as its counterpart over HTTP, from the same functions."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from google.protobuf.json_format import ParseDict

from service.engine.engine import Engine
from service.engine.model import CLASSES
from service.engine.resolve import predict, resolve_version
from service.engine.watcher import Watcher
from service.errors import BadRequest, DigitsError
from service.http.deps import check_admin_key
from service.openinference.grpc import converters as infer
from service.openinference.grpc import messages
from service.openinference.grpc.messages import Message
from service.openinference.http import health, metadata, repository, statistics
from service.openinference.http.infer import Infer, lecture_of, outputs_of, split_outputs
from service.server.drain import Drain
from service.settings import Settings
from service.telemetry.scoreboard import Scoreboard

Metadata = dict[str, str]


class Calls:
    """An async method for each rpc, named as it is: (message, the caller's metadata, request id) -> message."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        over_http: Infer,
        watcher: Watcher,
        scoreboard: Scoreboard,
        drain: Drain,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._infer = over_http
        self._watcher = watcher
        self._scoreboard = scoreboard
        self._drain = drain

    async def ServerLive(self, _: Message, __: Metadata, ___: str) -> Message:
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Message, __: Metadata, ___: str) -> Message:
        return messages.ServerReadyResponse(ready=await _succeeds(health.ready(self._engine, self._drain)))

    async def ServerMetadata(self, _: Message, __: Metadata, ___: str) -> Message:
        return _as(messages.ServerMetadataResponse, await metadata.server())

    async def ModelReady(self, request: Message, _: Metadata, __: str) -> Message:
        found = health.version_ready(self._engine, request.name, request.version)
        return messages.ModelReadyResponse(ready=await _succeeds(found))

    async def ModelMetadata(self, request: Message, _: Metadata, __: str) -> Message:
        found = await metadata.version(self._engine, request.name, request.version)
        return _as(messages.ModelMetadataResponse, found)

    async def ModelConfig(self, request: Message, _: Metadata, __: str) -> Message:
        found = await metadata.version_config(self._engine, self._settings, request.name, request.version)
        return _as(messages.ModelConfigResponse, {"config": found})

    async def ModelStatistics(self, request: Message, _: Metadata, __: str) -> Message:
        if not request.name:
            found = await statistics.everything(self._engine, self._scoreboard)
        elif not request.version:
            found = await statistics.of_model(self._engine, self._scoreboard, request.name)
        else:
            found = await statistics.of_version(self._engine, self._scoreboard, request.name, request.version)
        return _as(messages.ModelStatisticsResponse, found)

    async def ModelInfer(self, request: Message, _: Metadata, request_id: str) -> Message:
        served = resolve_version(self._engine, request.model_name, request.model_version)
        began = perf_counter_ns()
        asked = await infer.read(request, outputs_of(served), self._infer.limits)
        pixels = await self._infer.pixels(asked)
        decoded, key = perf_counter_ns(), request_id.encode()
        which = (request.model_name, request.model_version, key)
        served, values = await predict(self._engine, *which, pixels, lecture_of(asked))
        returned = perf_counter_ns()
        self._infer.recent.remember(key, served.name, served.version, pixels, values[:, :CLASSES])
        outputs, labels = split_outputs(values, asked), served.model.classes()
        answer = await infer.write(served.name, served.version, asked, outputs, labels)
        served.statistics.converted(served.key, decoded - began, perf_counter_ns() - returned)
        return answer

    async def RepositoryIndex(self, request: Message, _: Metadata, __: str) -> Message:
        _only_repository(request)
        found = await repository.index(self._engine, {"ready": request.ready})
        return _as(messages.RepositoryIndexResponse, {"models": found})

    async def RepositoryModelLoad(self, request: Message, metadata: Metadata, _: str) -> Message:
        check_admin_key(self._settings, metadata)
        _only_repository(request)
        await repository.load(self._watcher, {"parameters": dict(request.parameters)}, request.model_name)
        return messages.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Message, metadata: Metadata, _: str) -> Message:
        check_admin_key(self._settings, metadata)
        _only_repository(request)
        await repository.unload(self._watcher, {}, request.model_name)
        return messages.RepositoryModelUnloadResponse()


async def _succeeds(call: Any) -> bool:
    """What HTTP says with a status, this protocol says with `ready`."""
    try:
        await call
    except DigitsError:
        return False
    return True


def _as(kind: Any, found: dict[str, Any]) -> Message:
    return ParseDict(found, kind(), ignore_unknown_fields=True, descriptor_pool=messages.pool)


def _only_repository(request: Message) -> None:
    if request.repository_name:
        raise BadRequest("There is one repository here, and it has no name; leave repository_name out.")
