"""One inference, for every protocol: resolve the version, run it, remember the answer, record the durations.

In the statistics of every protocol, compute_input is the time from the start of decoding to the array of pixels, and
compute_output the time from the array of results to the encoded response.
"""

from __future__ import annotations

from time import perf_counter_ns

from service.access.quota import Quota
from service.digits import Pixels, Probabilities
from service.engine.batcher import Array
from service.engine.engine import Engine
from service.engine.model import CLASSES
from service.engine.resolve import resolve_version
from service.engine.version import Lecture, LoadedVersion
from service.feedback.recent import RecentPredictions


class Inference:
    """One request: made when its decoding begins, `await predict(...)`, and `finish()` when its answer is encoded.

    Args:
        engine: the loaded versions.
        recent: stores predictions, for feedback and drift.
        request_id: identifies the prediction in feedback; its hash decides whether a running canary answers.
        began_ns: start of decoding, in ns of perf_counter_ns; None: now.
        client: who asks.
        quota: of digits, which a client may use up.

    Attributes:
        version: the version that answered; set by predict().
    """

    __slots__ = (
        "_began_ns",
        "_client",
        "_decoded_ns",
        "_engine",
        "_quota",
        "_recent",
        "_request_id",
        "_returned_ns",
        "version",
    )

    version: LoadedVersion

    def __init__(
        self,
        engine: Engine,
        recent: RecentPredictions,
        request_id: bytes,
        began_ns: int | None = None,
        client: str = "-",
        quota: Quota | None = None,
    ) -> None:
        self._client = client
        self._quota = quota
        self._engine = engine
        self._recent = recent
        self._request_id = request_id
        self._began_ns = perf_counter_ns() if began_ns is None else began_ns

    async def predict(
        self, name: str | None, version: str, pixels: Pixels, lecture: Lecture = Lecture.UNWANTED
    ) -> Probabilities:
        """Predict with the requested version; if none is named, a canary answers its share of requests.

        Args:
            name: the model; None for the default one.
            version: a number or label; empty: the served version.
            pixels: uint8 (n, 28, 28).
            lecture: whether the second output, `lecture_output`, is requested.

        Returns:
            float32 (n, 10), or (n, 110) as Model.predict_all has it, from a model that has the lecture's output.

        Raises:
            NoSuchModel: there is no such model, or no such version of it.
            PayloadTooLarge, TooManyRequests: one client may not ask for so many digits.
            Unavailable: the queue is full, or the model is unloaded.
        """
        if self._quota:
            await self._quota.take(self._client, len(pixels))
        self._decoded_ns = perf_counter_ns()
        if version:
            self.version = resolve_version(self._engine, name or self._engine.settings.model, version)
            values = await self.version.predict(pixels, lecture is not Lecture.UNWANTED)
        else:
            self.version, values = await self._engine.predict(name, self._request_id, pixels, lecture, self._client)
        self._returned_ns = perf_counter_ns()
        served = self.version
        self._recent.remember(self._request_id, served.name, served.version, pixels, values[:, :CLASSES])
        return values

    def finish(self) -> None:
        """Record the durations of decoding and encoding. Call it when the response is encoded."""
        input_ns, output_ns = self._decoded_ns - self._began_ns, perf_counter_ns() - self._returned_ns
        self.version.statistics.converted(self.version.key, input_ns, output_ns)


class InlineInference:
    """One inference without await, for the fast path: a ticket of the batcher. A subclass encodes and sends the answer.

    Args:
        version: the version that answers.
        recent: stores predictions, for feedback and drift.
        request_id: identifies the prediction in feedback.
        began_ns: start of decoding, in ns of perf_counter_ns.
    """

    __slots__ = ("_began_ns", "_decoded_ns", "_pixels", "_recent", "request_id", "version")

    def __init__(self, version: LoadedVersion, recent: RecentPredictions, request_id: bytes, began_ns: int) -> None:
        self.version = version
        self._recent = recent
        self.request_id = request_id
        self._began_ns = began_ns

    def join(self, pixels: Pixels) -> None:
        """Put uint8 (n, 28, 28) into the next batch. Raises Unavailable if the queue is full."""
        self._pixels = pixels
        self._decoded_ns = perf_counter_ns()
        self.version.batcher.join(pixels, self)

    def encode(self, probabilities: Probabilities) -> bytes:
        """The body of the response."""
        raise NotImplementedError

    def send(self, body: bytes) -> None:
        """Send the response."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Send an error response."""
        raise NotImplementedError

    def done(self) -> bool:
        """Always False; a disconnect shows only when the answer is written."""
        return False

    def set_result(self, probabilities: Array) -> None:
        returned_ns, version, began_ns = perf_counter_ns(), self.version, self._began_ns
        try:
            self._recent.remember(self.request_id, version.name, version.version, self._pixels, probabilities)  # type: ignore[arg-type]
            body = self.encode(probabilities)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - it must not reach other requests of the batch
            self.set_exception(error)
            return
        input_ns, output_ns = self._decoded_ns - began_ns, perf_counter_ns() - returned_ns
        version.statistics.answered(version.key, began_ns, input_ns, output_ns)
        self.send(body)

    def set_exception(self, error: BaseException) -> None:
        self.version.statistics.failed(self.version.key, self._began_ns)
        self.fail(error)
