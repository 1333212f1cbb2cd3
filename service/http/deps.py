"""What a route may ask for, from the application that it runs in."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Annotated

from fastapi import Depends, Request

from service.engine.engine import Engine
from service.engine.watcher import Watcher
from service.errors import Forbidden, Unauthorized
from service.feedback.recent import RecentPredictions
from service.feedback.store import FeedbackStore
from service.http.negotiation import preferred
from service.server.drain import Drain
from service.settings import Settings
from service.telemetry.scoreboard import Scoreboard


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _scoreboard(request: Request) -> Scoreboard:
    scoreboard: Scoreboard = request.app.state.scoreboard
    return scoreboard


def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


def _feedback(request: Request) -> FeedbackStore:
    store: FeedbackStore = request.app.state.feedback
    return store


def _recent(request: Request) -> RecentPredictions:
    recent: RecentPredictions = request.app.state.recent
    return recent


def _watcher(request: Request) -> Watcher:
    watcher: Watcher = request.app.state.watcher
    return watcher


def admin_only(request: Request) -> None:
    """Refuses callers without the admin key, and everybody where none is set."""
    check_admin_key(_settings(request), request.headers)


def check_admin_key(settings: Settings, headers: Mapping[str, str]) -> None:
    """The same for the headers of any protocol, their names in lower case."""
    key = settings.admin_key
    if key is None:
        raise Forbidden("Admin calls are off here; start the service with DIGITS_ADMIN_KEY to switch them on.")
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = headers.get("x-admin-key") or (bearer if scheme.lower() == "bearer" else "")
    if not given:
        raise Unauthorized("The admin key is missing; send it as Authorization: Bearer <key>.")
    if not compare_digest(given.encode(), key.get_secret_value().encode()):
        raise Forbidden("That is not the admin key.")


def _wants_text(request: Request) -> bool:
    return preferred(request.headers.get("accept", ""), ("application/json", "text/plain")) == "text/plain"


EngineDep = Annotated[Engine, Depends(_engine)]
ScoreboardDep = Annotated[Scoreboard, Depends(_scoreboard)]
DrainDep = Annotated[Drain, Depends(_drain)]
FeedbackDep = Annotated[FeedbackStore, Depends(_feedback)]
RecentDep = Annotated[RecentPredictions, Depends(_recent)]
WatcherDep = Annotated[Watcher, Depends(_watcher)]
SettingsDep = Annotated[Settings, Depends(_settings)]
WantsText = Annotated[bool, Depends(_wants_text)]
