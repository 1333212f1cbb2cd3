"""What the handlers of all protocols need, in one frozen object that app.py makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest

from service.engine.engine import Engine
from service.engine.inference import Inference
from service.engine.watcher import Watcher
from service.errors import Forbidden, Unauthorized
from service.feedback.recent import RecentPredictions
from service.feedback.store import FeedbackStore
from service.inputs.decoder import Decoder
from service.server.drain import Drain
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
        watcher: brings the engine up to the repository.
        decoder: bodies to pixels.
        recent: the last answers, for feedback and drift.
        feedback: corrected digits, on disk.
        requests: where answered requests are noted.
        ids: gives every request its id.
        scoreboard: what workers tell each other.
        drain: how far this process is with stopping.
    """

    settings: Settings
    engine: Engine
    watcher: Watcher
    decoder: Decoder
    recent: RecentPredictions
    feedback: FeedbackStore
    requests: RequestTelemetry
    ids: RequestIds
    scoreboard: Scoreboard
    drain: Drain

    def stopping(self) -> bool:
        """Whether this service must be left. A worker that stops alone shares its port with others, which go on."""
        if not self.drain.leaving:
            return False
        return self.drain.whole or all(state["leaving"] for state in self.scoreboard.alive())

    def inference(self, request_id: bytes) -> Inference:
        """One request's way to an answer."""
        return Inference(self.engine, self.recent, request_id)

    def check_admin_key(self, headers: Mapping[str, str]) -> None:
        """Refuse callers without the admin key, and everybody where none is set.

        Args:
            headers: of HTTP, or the metadata of gRPC; their names in lower case.

        Raises:
            Unauthorized: no key came.
            Forbidden: the key is wrong, or admin calls are off.
        """
        key = self.settings.admin_key
        if key is None:
            raise Forbidden("Admin calls are off here; start the service with DIGITS_ADMIN_KEY to switch them on.")
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = headers.get("x-admin-key") or (bearer if scheme.lower() == "bearer" else "")
        if not given:
            raise Unauthorized("The admin key is missing; send it as Authorization: Bearer <key>.")
        if not compare_digest(given.encode(), key.get_secret_value().encode()):
            raise Forbidden("That is not the admin key.")
