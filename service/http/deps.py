"""FastAPI dependencies: the parts of the context, the model's name, the admin key, whether text is preferred."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from service.access.client import Client
from service.access.quota import Quotas
from service.context import Context
from service.engine.engine import Engine
from service.engine.watcher import Watcher
from service.feedback.recent import RecentPredictions
from service.feedback.writer import FeedbackWriter
from service.http.negotiation import preferred
from service.settings import Settings
from service.telemetry.scoreboard import Scoreboard


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]


def _engine(context: ContextDep) -> Engine:
    return context.engine


def _settings(context: ContextDep) -> Settings:
    return context.settings


async def _fresh_scoreboard(context: ContextDep) -> Scoreboard:
    await context.scoreboard.refresh()
    return context.scoreboard


def _feedback(context: ContextDep) -> FeedbackWriter:
    return context.feedback


def _recent(context: ContextDep) -> RecentPredictions:
    return context.recent


def _watcher(context: ContextDep) -> Watcher:
    return context.watcher


def _caller(request: Request) -> Client:
    client: Client = request.scope["caller"]
    return client


CallerDep = Annotated[Client, Depends(_caller)]


def admin_only(caller: CallerDep, context: ContextDep) -> None:
    """Require a key with the scope admin. Raises Unauthorized, Forbidden or TooManyRequests."""
    context.gate.require(caller, "admin")


def _is_admin(caller: CallerDep, context: ContextDep) -> bool:
    return context.gate.has(caller, "admin")


def _quotas(context: ContextDep) -> Quotas:
    return context.gate.quotas


def _wants_text(request: Request) -> bool:
    return preferred(request.headers.get("accept", ""), ("application/json", "text/plain")) == "text/plain"


EngineDep = Annotated[Engine, Depends(_engine)]
FreshScoreboardDep = Annotated[Scoreboard, Depends(_fresh_scoreboard)]
FeedbackDep = Annotated[FeedbackWriter, Depends(_feedback)]
RecentDep = Annotated[RecentPredictions, Depends(_recent)]
QuotasDep = Annotated[Quotas, Depends(_quotas)]
WatcherDep = Annotated[Watcher, Depends(_watcher)]
SettingsDep = Annotated[Settings, Depends(_settings)]
IsAdmin = Annotated[bool, Depends(_is_admin)]
WantsText = Annotated[bool, Depends(_wants_text)]
Name = Annotated[str, Path(description="The model's name, such as digits.", max_length=64)]
