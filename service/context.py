"""The dependencies of every request handler, in one frozen object that app.py builds."""

from __future__ import annotations

from dataclasses import dataclass

from service.access.client import UNKNOWN, Client
from service.access.gate import Gate
from service.engine.engine import Engine
from service.engine.inference import Inference
from service.engine.watcher import Watcher
from service.feedback.recent import RecentPredictions
from service.feedback.writer import FeedbackWriter
from service.inputs.decoder import Decoder
from service.repository.volume import Volume
from service.server.budget import Budget
from service.server.drain import Drain
from service.server.tls import Tls
from service.settings import Settings
from service.telemetry.request_ids import RequestIds
from service.telemetry.requests import RequestTelemetry
from service.telemetry.scoreboard import Scoreboard


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one service process.

    Attributes:
        settings: limits and switches.
        engine: the live versions of all models.
        volume: makes file calls below the models folder, off the event loop.
        watcher: updates the engine when the model repository changes.
        decoder: request bodies to pixels.
        recent: the most recent predictions, for feedback and drift.
        feedback: writes and counts corrected digits on disk, off the event loop.
        requests: counts and logs answered requests.
        ids: assigns request ids.
        scoreboard: state shared between worker processes.
        drain: state of a graceful shutdown.
        budget: bytes that requests hold.
        gate: who may call what, and how often.
        tls: the certificate; None: no TLS.
    """

    settings: Settings
    engine: Engine
    volume: Volume
    watcher: Watcher
    decoder: Decoder
    recent: RecentPredictions
    feedback: FeedbackWriter
    requests: RequestTelemetry
    ids: RequestIds
    scoreboard: Scoreboard
    drain: Drain
    budget: Budget
    gate: Gate
    tls: Tls | None

    def stopping(self) -> bool:
        """Whether this service must be left. A worker that stops alone shares its port with others, which go on."""
        if not self.drain.leaving:
            return False
        return self.drain.whole or all(state["leaving"] for state in self.scoreboard.alive())

    def inference(self, request_id: bytes, client: Client | None = None, began_ns: int | None = None) -> Inference:
        """The inference of one request, timed from `began_ns`, or from now: call it when decoding begins."""
        name = client.name if client else UNKNOWN
        return Inference(self.engine, self.recent, request_id, began_ns, name, self.gate.quotas.digits)
