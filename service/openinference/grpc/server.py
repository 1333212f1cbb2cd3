"""The gRPC server: its port, its limits, its borders. What a call answers is calls.py's; it knows no digits.

It runs on the event loop of the HTTP service, so that both share one engine, one queue and one batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any

# read when grpc loads: its handlers for fork crash the child that tries a version out (check.py), which only execs
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
import grpc
from google.protobuf.message_factory import GetMessageClass

from service.errors import DigitsError, Unavailable
from service.openinference.grpc.decoding import UndecodedMessage
from service.openinference.grpc.messages import SERVICE, Message, ModelInferResponse, ModelStreamInferResponse, methods
from service.openinference.grpc.servicer import Calls
from service.server.drain import Drain
from service.settings import Settings
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter

log = logging.getLogger("service")

GRACE_S = 30.0
MOST_IN_STREAM = 64  # requests of one stream that are answered at the same time
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
CLIENT_WENT_AWAY = 499
OUR_FAULT = "Something went wrong here, not in your request. Try again, and report the x-request-id."
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

Context = Any
Metadata = dict[str, str]
Call = Callable[[Message, Metadata, str], Awaitable[Message]]
Refused = tuple[Any, str, tuple[tuple[str, str], ...]]  # code, sentence, trailing metadata


class GrpcServer:
    """`await start()` and `await stop()`.

    Args:
        calls: an async method for each rpc of the service.
        settings: host, port and the limit on a message.
        drain: how far we are with leaving.
        meter, access: where calls are counted and logged, as those over HTTP are.
    """

    def __init__(self, calls: Calls, settings: Settings, drain: Drain, meter: Meter, access: AccessLog) -> None:
        self._calls = calls
        self._settings = settings
        self._drain = drain
        self._meter = meter
        self._access = access
        self._server: Any = None
        self._readers: set[asyncio.Task[None]] = set()
        self._ids = count()
        self._prefix = secrets.token_hex(6)

    async def start(self) -> None:
        """Listen. Raises DigitsError where the port is not to be had."""
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", self._settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
        ]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        try:
            self._server.add_insecure_port(f"{host}:{self._settings.grpc_port}")
        except RuntimeError:
            raise DigitsError(f"{host}:{self._settings.grpc_port} cannot be listened on for gRPC.") from None
        await self._server.start()

    async def stop(self) -> None:
        """Take no more calls, and end once those that are here are answered: streams too."""
        for reader in self._readers:
            reader.cancel()
        await self._server.stop(GRACE_S)

    def _handlers(self) -> dict[str, Any]:
        return {method.name: self._handler(method) for method in methods()}

    def _handler(self, method: Any) -> Any:
        parse = partial(
            UndecodedMessage, GetMessageClass(method.input_type)
        )  # not here: grpc would wait for it on the event loop
        to_bytes = GetMessageClass(method.output_type).SerializeToString
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream, parse, to_bytes)
        call: Call = getattr(self._calls, method.name)
        return grpc.unary_unary_rpc_method_handler(self._unary(method.name, call), parse, to_bytes)

    # -- borders ------------------------------------------------------------------------------------------------

    def _unary(self, name: str, call: Call) -> Callable[..., Awaitable[Message]]:
        async def handler(sealed: UndecodedMessage, context: Context) -> Message:
            request, metadata = None, _metadata(context)
            request_id = self._request_id(metadata)
            start, status = perf_counter(), CLIENT_WENT_AWAY
            refused: Refused | None = None
            try:
                with self._inside():
                    request = await sealed.open()
                    request_id = _id(request, metadata) or request_id
                    answer = await call(request, metadata, request_id)
                    status = 200
            except DigitsError as error:
                status, refused = error.status, _refused(error, request_id)
            except Exception:  # the caller gets an id to report, the log gets the trace
                status, refused = 500, _refused(DigitsError(OUR_FAULT), request_id)
                log.exception("request %s failed", request_id)
            finally:
                self._note(name, status, perf_counter() - start, request_id)
            if refused:
                del request, sealed  # abort raises, in a cycle with this frame: they would stay until it is collected
                await context.abort(*refused)
            context.set_trailing_metadata((("x-request-id", request_id),))
            return answer

        return handler

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """While a request is answered. Raises Unavailable where none is taken any more."""
        if self._drain.refusing:
            raise Unavailable("This instance is stopping; ask another one.")
        self._drain.inside += 1
        try:
            yield
        finally:
            self._drain.inside -= 1

    async def _stream(self, requests: AsyncIterator[UndecodedMessage], context: Context) -> AsyncIterator[Message]:
        """Answers in the order of the requests; several at the same time, so that they may share a batch."""
        metadata = _metadata(context)
        answers: asyncio.Queue[asyncio.Task[Message] | None] = asyncio.Queue(MOST_IN_STREAM)

        async def read() -> None:
            try:
                async for sealed in requests:
                    await answers.put(asyncio.create_task(self._one_of_many(sealed, metadata)))
            finally:
                await answers.put(None)

        reader = asyncio.create_task(read())
        self._readers.add(reader)
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
        finally:
            self._readers.discard(reader)
            reader.cancel()
            while not answers.empty():
                if (answer := answers.get_nowait()) is not None:
                    answer.cancel()

    async def _one_of_many(self, sealed: UndecodedMessage, metadata: Metadata) -> Message:
        """One answer of a stream: a refusal is an answer, and the stream goes on."""
        request, request_id = None, self._request_id(metadata)
        start, status = perf_counter(), CLIENT_WENT_AWAY
        try:
            with self._inside():
                request = await sealed.open()
                request_id = _id(request, metadata) or request_id
                found = await self._calls.ModelInfer(request, metadata, request_id)
                status = 200
            found.parameters["triton_final_response"].bool_param = True
            return ModelStreamInferResponse(infer_response=found)
        except DigitsError as error:
            status = error.status
            return self._refusal(request, str(error))
        except Exception:  # as for a single call
            status = 500
            log.exception("request %s failed", request_id)
            return self._refusal(request, OUR_FAULT)
        finally:
            self._note("ModelStreamInfer", status, perf_counter() - start, request_id)

    def _refusal(self, request: Message | None, said: str) -> Message:
        whose = ModelInferResponse(id=request.id if request else "")
        return ModelStreamInferResponse(error_message=said, infer_response=whose)

    def _note(self, name: str, status: int, seconds: float, request_id: str) -> None:
        route = f"/{SERVICE}/{name}"
        self._meter.request(route, "gRPC", status, seconds)
        if status >= self._access.from_status:
            self._access.add("gRPC", route, status, seconds, request_id)

    def _request_id(self, metadata: Metadata) -> str:
        """The caller's own, or a new one."""
        given = metadata.get("x-request-id", "")
        return given if REQUEST_ID.fullmatch(given) else f"{self._prefix}-g{next(self._ids):x}"


def _id(request: Message, metadata: Metadata) -> str:
    """The message's own, where the metadata have none."""
    given = str(getattr(request, "id", ""))
    return given if "x-request-id" not in metadata and REQUEST_ID.fullmatch(given) else ""


def _metadata(context: Context) -> Metadata:
    """The caller's metadata, but for binary values."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _refused(error: DigitsError, request_id: str) -> Refused:
    more = tuple((key.lower(), value) for key, value in error.headers.items())
    return CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error), (("x-request-id", request_id), *more)
