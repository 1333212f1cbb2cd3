"""The one door to an answer, for every protocol: resolve the version, run it, remember the answer, count the time.

In statistics, compute_input is the time from the first byte that is decoded to the array, compute_output the time from
the array of results to the last byte of the answer, whatever the protocol.
"""

from __future__ import annotations

from time import perf_counter_ns

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
        engine: the live versions.
        recent: where answers are remembered, for feedback and drift.
        request_id: what feedback names this answer by; also decides which version answers while a canary runs.
        began_ns: when decoding began, of the performance counter; None for now.

    Attributes:
        version: the one that answered, once it has.
    """

    __slots__ = ("_began_ns", "_decoded_ns", "_engine", "_recent", "_request_id", "_returned_ns", "version")

    version: LoadedVersion

    def __init__(
        self, engine: Engine, recent: RecentPredictions, request_id: bytes, began_ns: int | None = None
    ) -> None:
        self._engine = engine
        self._recent = recent
        self._request_id = request_id
        self._began_ns = perf_counter_ns() if began_ns is None else began_ns

    async def predict(
        self, name: str | None, version: str, pixels: Pixels, lecture: Lecture = Lecture.UNWANTED
    ) -> Probabilities:
        """Answer with the version asked for; where none is named, a canary may answer its share of requests.

        Args:
            name: the model; None for the default one.
            version: number or label; empty for the served one.
            pixels: uint8 (n, 28, 28).
            lecture: whether the lecture's own output is wanted too.

        Returns:
            float32 (n, 10), or (n, 110) as Model.predict_all has it, from a model that has the lecture's output.

        Raises:
            NoSuchModel: there is no such model, or no such version of it.
            Unavailable: the queue is full, or the model is unloaded.
        """
        self._decoded_ns = perf_counter_ns()
        if version:
            self.version = resolve_version(self._engine, name or self._engine.settings.model, version)
            values = await self.version.predict(pixels, lecture is not Lecture.UNWANTED)
        else:
            self.version, values = await self._engine.predict(name, self._request_id, pixels, lecture)
        self._returned_ns = perf_counter_ns()
        served = self.version
        self._recent.remember(self._request_id, served.name, served.version, pixels, values[:, :CLASSES])
        return values

    def finish(self) -> None:
        """Count what decoding and encoding took."""
        input_ns, output_ns = self._decoded_ns - self._began_ns, perf_counter_ns() - self._returned_ns
        self.version.statistics.converted(self.version.key, input_ns, output_ns)


class InlineInference:
    """The same without await, for the fast path: a ticket of the batcher. A subclass encodes and sends the answer.

    Args:
        version: the one that answers.
        recent: where answers are remembered.
        request_id: what feedback names this answer by.
        began_ns: when its decoding began, of the performance counter.
    """

    __slots__ = ("_began_ns", "_decoded_ns", "_pixels", "_recent", "request_id", "version")

    def __init__(self, version: LoadedVersion, recent: RecentPredictions, request_id: bytes, began_ns: int) -> None:
        self.version = version
        self._recent = recent
        self.request_id = request_id
        self._began_ns = began_ns

    def join(self, pixels: Pixels) -> None:
        """Wait for the next batch with uint8 (n, 28, 28). Raises Unavailable where the queue is full."""
        self._pixels = pixels
        self._decoded_ns = perf_counter_ns()
        self.version.batcher.join(pixels, self)

    def encode(self, probabilities: Probabilities) -> bytes:
        """The body of the answer."""
        raise NotImplementedError

    def send(self, body: bytes) -> None:
        """Answer the caller."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Tell the caller that there is no answer."""
        raise NotImplementedError

    def done(self) -> bool:
        """Always False; a disconnect shows only when the answer is written."""
        return False

    def set_result(self, probabilities: Array) -> None:
        returned_ns, version, began_ns = perf_counter_ns(), self.version, self._began_ns
        try:
            self._recent.remember(self.request_id, version.name, version.version, self._pixels, probabilities)  # type: ignore[arg-type]
            body = self.encode(probabilities)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - it must not reach the batch, which has others to answer
            self.set_exception(error)
            return
        input_ns, output_ns = self._decoded_ns - began_ns, perf_counter_ns() - returned_ns
        version.statistics.answered(version.key, began_ns, input_ns, output_ns)
        self.send(body)

    def set_exception(self, error: BaseException) -> None:
        self.version.statistics.failed(self.version.key, self._began_ns)
        self.fail(error)
