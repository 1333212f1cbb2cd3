"""The fast path for POST /predict: from uvicorn's protocol to the batcher and back, without ASGI.

ASGI costs a task, an event, a scope and a dozen awaits per request, more than the model does. The fast path accepts a
request only if it expects to answer 200: a small uncompressed body, JSON accepted, no rollout running. It declines
every other request, which then takes the ASGI path from its start, so that client errors are handled in one place.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns

from service.access.client import UNKNOWN
from service.api.answers import as_json
from service.api.predict import PLAIN
from service.context import Context
from service.digits import Probabilities
from service.engine.inference import InlineInference
from service.engine.version import LoadedVersion
from service.errors import DigitsError
from service.http.middleware import NOSNIFF
from service.problems import from_error, internal_error
from service.server.exchange import Headers, Reply

log = logging.getLogger("service")

METHOD, PATH = "POST", "/predict"
GOOD = (
    b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"
)
ASGI_ONLY = {b"content-encoding", b"expect", b"origin", b"sec-fetch-site", b"x-model-version"}


class FastPath:
    """Implements `service.server.exchange.FastPath`."""

    method, url = METHOD.encode(), PATH.encode()

    def __init__(self, context: Context) -> None:
        self._engine = context.engine
        self._decode = context.decoder.decode_inline
        self._ids = context.ids
        self._gate = None if context.gate.open else context.gate
        self.recent = context.recent
        self.requests = context.requests
        self.drain = context.drain

    def take(self, headers: Headers, body: bytes, reply: Reply, peer: str = UNKNOWN) -> bool:
        """Whether the fast path accepts the request; then `reply` is called exactly once, now or later."""
        began_ns, content_type = perf_counter_ns(), b""
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name in ASGI_ONLY or (name == b"accept" and value not in PLAIN):
                return False
        gate, client = self._gate, None
        if gate is not None:
            client = gate.enter_at_once(peer, headers)
            if client is None:
                return False
        version = self._engine.sole_version()
        if version is None or self.drain.leaving or self._engine.admission.full:
            return False
        try:
            pixels = self._decode(content_type.decode("latin-1"), body)
            if pixels is None or len(pixels) > version.batcher.inline_rows:
                return False
            if client is not None and not gate.spend(client, len(pixels)):  # type: ignore[union-attr]
                return False
            address = peer if client is None else client.label
            Request(self, version, self._ids.of(headers), began_ns, reply, address).join(pixels)
        except Exception:  # noqa: BLE001 - the ASGI path meets the same error and reports it
            return False
        self.drain.inside += 1
        return True


class Request(InlineInference):
    """One accepted request, waiting for its batch."""

    __slots__ = ("_client", "_path", "_reply")

    def __init__(
        self, path: FastPath, version: LoadedVersion, request_id: bytes, began_ns: int, reply: Reply, client: str
    ) -> None:
        super().__init__(version, path.recent, request_id, began_ns)
        self._client = client
        self._path = path
        self._reply = reply

    def encode(self, probabilities: Probabilities) -> bytes:
        return as_json(self.version, probabilities)

    def send(self, body: bytes) -> None:
        self._answer(200, GOOD % (len(body), self.request_id), body)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, DigitsError):
            response = from_error(error, PATH)
        else:  # the caller gets an id to report, the log gets the traceback
            log.error("request %s failed", self.request_id.decode(), exc_info=error)
            response = internal_error(PATH)
        headers = [*response.raw_headers, (b"x-request-id", self.request_id), NOSNIFF]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self._answer(response.status_code, head, bytes(response.body))

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        path = self._path
        path.drain.inside -= 1
        self._reply(status, head, body, path.drain.leaving)
        seconds = (perf_counter_ns() - self._began_ns) / 1e9
        path.requests.note(METHOD, PATH, PATH, status, seconds, self.request_id, self._client)
