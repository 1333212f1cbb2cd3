"""The fast path for POST /predict: from uvicorn's protocol into the batch and back, past ASGI.

ASGI costs a request a task, an event, a scope and a dozen awaits, more than the model does. Here goes what can be
answered with 200 from one packet: a small plain body, asking for JSON, no trial beside the live version. Whatever is
out of the ordinary takes the usual way from its head on, so that every refusal is made in one place.
"""

from __future__ import annotations

import logging
from time import perf_counter, perf_counter_ns

from service.api.predict import PLAIN, Predict, as_json
from service.digits import Pixels
from service.engine.batcher import Array
from service.engine.engine import Engine
from service.engine.version import LoadedVersion
from service.errors import DigitsError
from service.feedback.recent import RecentPredictions
from service.problems import from_error, internal_error
from service.server.drain import Drain
from service.server.exchange import Headers, Reply
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter
from service.telemetry.request_ids import RequestIds

log = logging.getLogger("service")

METHOD, PATH = "POST", "/predict"
UNUSUAL = {b"content-encoding", b"expect"}


class FastPath:
    """What the protocol asks first; see `service.server.exchange.FastPath`.

    Args:
        engine, predict, recent, meter, access, drain, ids: as the door and the usual handler have them.
    """

    method, url = METHOD.encode(), PATH.encode()

    def __init__(
        self,
        engine: Engine,
        predict: Predict,
        recent: RecentPredictions,
        meter: Meter,
        access: AccessLog,
        drain: Drain,
        ids: RequestIds,
    ) -> None:
        self._engine = engine
        self._predict = predict
        self._recent = recent
        self._meter = meter
        self._access = access
        self.drain = drain
        self._ids = ids

    def take(self, headers: Headers, body: bytes, reply: Reply) -> bool:
        """Whether this request is answered here: then `reply` is called once, now or soon."""
        start, content_type = perf_counter(), b""
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name in UNUSUAL or (name == b"accept" and value not in PLAIN):
                return False
        served = self._engine.sole_version()
        if served is None or self.drain.leaving or self._engine.admission.full:
            return False
        try:
            pixels = self._predict.at_once(content_type.decode("latin-1"), body)
            if pixels is None or len(pixels) > served.batcher.inline_rows:
                return False
            served.batcher.join(pixels, Request(self, served, pixels, self._ids.of(headers), start, reply))
        except Exception:  # noqa: BLE001 - a refusal or our own mistake: the usual way says which
            return False
        self.drain.inside += 1
        return True

    def note(self, request: Request, status: int) -> None:
        """Count an answer that was given, and log it where such are logged."""
        self.drain.inside -= 1
        seconds = perf_counter() - request.start
        self._meter.request(PATH, METHOD, status, seconds)
        if status >= self._access.from_status:
            self._access.add(METHOD, PATH, status, seconds, request.id.decode())

    def answer(self, request: Request, probabilities: Array) -> bytes:
        """The body of an answer, which is remembered for feedback."""
        served = request.served
        body = as_json(served, probabilities)  # type: ignore[arg-type]
        self._recent.remember(request.id, served.name, served.version, request.pixels, probabilities)  # type: ignore[arg-type]
        return body


class Request:
    """One request that waits for its batch, which calls `set_result` or `set_exception` as it would a future's."""

    __slots__ = ("_fast_path", "_reply", "_since", "id", "pixels", "served", "start")

    def __init__(
        self, fast_path: FastPath, served: LoadedVersion, pixels: Pixels, id_: bytes, start: float, reply: Reply
    ) -> None:
        self._fast_path = fast_path
        self._reply = reply
        self._since = perf_counter_ns()
        self.served = served
        self.pixels = pixels
        self.id = id_
        self.start = start

    def done(self) -> bool:
        """Never: who went away is not noticed before the answer, as on the usual way."""
        return False

    def set_result(self, probabilities: Array) -> None:
        try:
            self.served.statistics.answered(self.served.key, self._since)
            body = self._fast_path.answer(self, probabilities)
        except Exception as error:  # noqa: BLE001 - it must not reach the batch, which has others to answer
            self._fail(error)
        else:
            self._send(200, b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body), body)

    def set_exception(self, error: BaseException) -> None:
        self.served.statistics.failed(self.served.key, self._since)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, DigitsError):
            response = from_error(error, PATH)
        else:  # the caller gets an id to report, the log gets the trace
            log.error("request %s failed", self.id.decode(), exc_info=error)
            response = internal_error(PATH)
        head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self._send(response.status_code, head, bytes(response.body))

    def _send(self, status: int, head: bytes, body: bytes) -> None:
        self._reply(status, b"%bx-request-id: %b\r\n" % (head, self.id), body, self._fast_path.drain.leaving)
        self._fast_path.note(self, status)
