"""The gRPC server: port, limits, errors, request ids, draining. servicer.py implements the calls.

It runs on the event loop of the HTTP service, so that both share one engine, one queue and one batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter, perf_counter_ns
from typing import Any

# read at import: grpc's fork handlers would crash the subprocess that validates a version
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
import grpc
from google.protobuf.message_factory import GetMessageClass

from service.access.client import Client
from service.access.keys import Scope
from service.context import Context
from service.errors import DigitsError
from service.openinference.grpc.credentials import credentials_of
from service.openinference.grpc.decoding import UndecodedMessage
from service.openinference.grpc.messages import SERVICE, Message, ModelInferResponse, ModelStreamInferResponse, methods
from service.openinference.grpc.receiving import Receiver, address_of
from service.openinference.grpc.servicer import Caller, Servicer
from service.problems import INTERNAL_ERROR
from service.server.answer_timeout import answer_timeout
from service.server.budget import Lease
from service.telemetry.request_ids import is_valid
from service.telemetry.requests import CLIENT_CLOSED_REQUEST

log = logging.getLogger("service")

GRACE_S = 30.0
PING_TIMEOUT_MS = 20_000
HANDSHAKE_TIMEOUT_MS = 10_000  # of TLS and of HTTP/2; as HTTP has it
QUIET_S, MAX_HOLD_S = 0.01, 0.1  # before the stop: without a new call, and at most
GOAWAY_S = 0.02  # for clients to receive it
MAX_CONCURRENT_PER_STREAM = 64  # requests
OPEN = ("ServerLive", "ServerReady")  # what needs no key
STREAM_CUT = "The service is stopping; send the requests that have no answer on a new stream."
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Call = Any  # grpc's own context of one call
Metadata = dict[str, str]
Rpc = Callable[[Message, Caller], Awaitable[Message]]
Rejection = tuple[Any, str, tuple[tuple[str, str], ...]]  # code, sentence, trailing metadata


class GrpcServer:
    """`await start()` and `await stop()`.

    Args:
        context: settings, drain state, request ids, request telemetry.
    """

    def __init__(self, context: Context) -> None:
        self._servicer = Servicer(context)
        self._receiver = Receiver(context.settings)
        self._budget = context.budget
        self._gate = context.gate
        self._tls = context.tls
        self._settings = context.settings
        self._drain = context.drain
        self._requests = context.requests
        self._ids = context.ids
        self._server: Any = None
        self._calls = 0
        self._stopped = False
        self._release = asyncio.Event()
        self._release.set()
        self._readers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start listening. Raises DigitsError if the port cannot be bound."""
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", self._receiver.max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", round(self._settings.grpc_ping_s * 1000)),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),  # clients may ping idle connections, too
            ("grpc.http2.min_ping_interval_without_data_ms", round(self._settings.min_grpc_ping_s * 1000)),
            ("grpc.max_connection_idle_ms", round(self._settings.keep_alive_s * 1000)),
            ("grpc.max_allowed_incoming_connections", self._settings.max_connections),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
            ("grpc.http2.bdp_probe", 0),  # or windows grow to megabytes for messages that nobody waits for
        ]
        if age_s := self._settings.max_grpc_connection_s:
            options.append(("grpc.max_connection_age_ms", round(age_s * 1000)))
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=self._settings.max_connections)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        try:
            place = f"{host}:{self._settings.grpc_port}"
            if self._tls:
                self._server.add_secure_port(place, credentials_of(self._tls))
            else:
                self._server.add_insecure_port(place)
        except RuntimeError:
            raise DigitsError(f"{host}:{self._settings.grpc_port} cannot be bound for gRPC.") from None
        await self._server.start()
        self._drain.closers.append(self.stop)

    async def stop(self) -> None:
        """Send clients elsewhere (GOAWAY), and end once the calls that are here are answered: streams too.

        gRPC cancels calls that come between its stop and the client's receipt of GOAWAY. So answers are held back for a
        moment: clients that wait for one make no new call, and get GOAWAY before it.
        """
        if self._stopped:
            return
        self._stopped = True
        for reader in self._readers:
            reader.cancel()
        self._release.clear()
        await self._quiet()
        stopping = asyncio.create_task(self._server.stop(GRACE_S))
        await asyncio.sleep(GOAWAY_S)
        self._release.set()
        await stopping

    async def _quiet(self) -> None:
        """Until no call has come for a moment."""
        end = perf_counter() + MAX_HOLD_S
        before = -1
        while before != self._calls and perf_counter() < end:
            before = self._calls
            await asyncio.sleep(QUIET_S)

    def _handlers(self) -> dict[str, Any]:
        return {method.name: self._handler(method) for method in methods()}

    def _handler(self, method: Any) -> Any:
        # grpc would decode on the event loop in one call, so decoding is left to the handler
        parse = partial(UndecodedMessage, GetMessageClass(method.input_type))
        to_bytes = GetMessageClass(method.output_type).SerializeToString
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream, parse, to_bytes)
        rpc: Rpc = getattr(self._servicer, method.name)
        # on the wire a single request is a stream of one; only the handler of a stream may wait before it reads
        return grpc.stream_unary_rpc_method_handler(self._unary(method.name, rpc), parse, to_bytes)

    # -- calls --------------------------------------------------------------------------------------------------

    def _unary(self, name: str, rpc: Rpc) -> Callable[..., Awaitable[Message]]:
        scope: Scope | None = None if name in OPEN else "predict"

        async def handler(_: object, call: Call) -> Message:
            self._calls += 1
            message = request = None
            metadata = _metadata(call)
            client, request_id = self._client(call, metadata), self._ids.of_grpc(metadata)
            lease = Lease(self._budget, client.name)
            start, status = perf_counter(), CLIENT_CLOSED_REQUEST
            rejection: Rejection | None = None
            try:
                with self._inside():
                    if not self._gate.open:
                        await self._gate.enter(client, scope)
                        lease.client = client.name
                    message = await self._receiver.message(call, client.name)
                    lease.hold(message.size)
                    began_ns = perf_counter_ns()
                    request = await message.open()
                    request_id = self._message_id(request, metadata) or request_id
                    async with answer_timeout(self._settings.answer_timeout_s):
                        answer = await rpc(request, Caller(client, request_id, began_ns))
                    status = 200
                if not self._release.is_set():
                    await self._release.wait()
            except DigitsError as error:
                status, rejection = error.status, _rejection(error, request_id)
            except Exception:  # the caller gets an id to report, the log gets the traceback
                status, rejection = 500, _rejection(DigitsError(INTERNAL_ERROR), request_id)
                log.exception("request %s failed", request_id.decode())
            finally:
                lease.close()
                self._note(name, status, perf_counter() - start, request_id, client)
            if rejection:
                del request, message  # abort() raises: the traceback would keep both alive until the next collection
                await call.abort(*rejection)
            call.set_trailing_metadata((("x-request-id", request_id.decode()),))
            return answer

        return handler

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Count a request as running."""
        self._drain.inside += 1
        try:
            yield
        finally:
            self._drain.inside -= 1

    async def _stream(self, requests: AsyncIterator[UndecodedMessage], call: Call) -> AsyncIterator[Message]:
        """Answer in the order of the requests. Several run at the same time, so that they can share a batch."""
        metadata = _metadata(call)
        client, request_id = self._client(call, metadata), self._ids.of_grpc(metadata)
        try:
            if self._gate.keys.required:
                self._gate.require(client, "predict")
            with self._receiver.stream(client.name):
                async for answer in self._answers(requests, call, client, metadata):
                    yield answer
        except DigitsError as error:
            self._note("ModelStreamInfer", error.status, 0.0, request_id, client)
            await call.abort(*_rejection(error, request_id))

    async def _answers(
        self, requests: AsyncIterator[UndecodedMessage], call: Call, client: Client, metadata: Metadata
    ) -> AsyncIterator[Message]:
        answers: asyncio.Queue[asyncio.Task[Message] | None] = asyncio.Queue(MAX_CONCURRENT_PER_STREAM)

        async def read() -> None:
            try:
                async for message in requests:
                    await answers.put(asyncio.create_task(self._answer_in_stream(message, client, metadata)))
            finally:
                await answers.put(None)

        reader = asyncio.create_task(read())
        self._readers.add(reader)
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
            if reader.cancelled():  # by `stop`: OK would say that every request has its answer
                await call.abort(grpc.StatusCode.UNAVAILABLE, STREAM_CUT)
        finally:
            self._readers.discard(reader)
            reader.cancel()
            while not answers.empty():
                if (answer := answers.get_nowait()) is not None:
                    answer.cancel()

    async def _answer_in_stream(self, message: UndecodedMessage, client: Client, metadata: Metadata) -> Message:
        """Answer one request of a stream. An error is sent as an answer, and the stream continues."""
        request, request_id = None, self._ids.of_grpc(metadata)
        start, status = perf_counter(), CLIENT_CLOSED_REQUEST
        lease = Lease(self._budget, client.name)
        try:
            with self._inside():
                if self._gate.quotas.requests:
                    await self._gate.quotas.requests.take(client.name)
                lease.hold(message.size)
                began_ns = perf_counter_ns()
                request = await message.open()
                request_id = self._message_id(request, metadata) or request_id
                async with answer_timeout(self._settings.answer_timeout_s):
                    found = await self._servicer.ModelInfer(request, Caller(client, request_id, began_ns))
                status = 200
            found.parameters["triton_final_response"].bool_param = True
            return ModelStreamInferResponse(infer_response=found)
        except DigitsError as error:
            status = error.status
            return self._stream_error(request, str(error))
        except Exception:  # as for a single call
            status = 500
            log.exception("request %s failed", request_id.decode())
            return self._stream_error(request, INTERNAL_ERROR)
        finally:
            lease.close()
            self._note("ModelStreamInfer", status, perf_counter() - start, request_id, client)

    def _stream_error(self, request: Message | None, sentence: str) -> Message:
        response = ModelInferResponse(id=request.id if request else "")
        return ModelStreamInferResponse(error_message=sentence, infer_response=response)

    def _client(self, call: Call, metadata: Metadata) -> Client:
        gate = self._gate
        headers: list[tuple[bytes, bytes]] = []
        if gate.keys.any or gate.addresses.any_trusted:
            headers = [(name.encode(), value.encode()) for name, value in metadata.items()]
        return gate.client(address_of(call.peer()), headers)

    def _message_id(self, request: Message, metadata: Metadata) -> bytes:
        """The message's own id, if it is valid and the metadata have no x-request-id; otherwise empty."""
        given = str(getattr(request, "id", "")).encode()
        return given if "x-request-id" not in metadata and is_valid(given) else b""

    def _note(self, name: str, status: int, seconds: float, request_id: bytes, client: Client) -> None:
        route = f"/{SERVICE}/{name}"
        self._requests.note("gRPC", route, route, status, seconds, request_id, client.label)


def _metadata(call: Call) -> Metadata:
    """The caller's metadata, without binary values."""
    return {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}


def _rejection(error: DigitsError, request_id: bytes) -> Rejection:
    more = tuple((key.lower(), value) for key, value in error.headers.items())
    return CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error), (("x-request-id", request_id.decode()), *more)
