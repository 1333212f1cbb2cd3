"""create_app(settings): builds and wires the service; the only file that knows all the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from service import __version__
from service.api import admin, feedback, health, metrics, models, pages, predict
from service.api.fast_path import FastPath
from service.engine.engine import Engine
from service.engine.watcher import Watcher
from service.errors import DigitsError
from service.feedback.recent import RecentPredictions
from service.feedback.store import FeedbackStore
from service.http.middleware import Direct, RequestMiddleware
from service.openinference import http as v2
from service.openinference.grpc import server_for
from service.problems import on_digits_error, on_http_error, on_internal_error, on_validation_error
from service.server.drain import Drain
from service.settings import Settings
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter
from service.telemetry.request_ids import RequestIds
from service.telemetry.scoreboard import Scoreboard
from service.tfserving import routes as v1

DESCRIPTION = """Handwritten digits in, digits out: the lecture's convolutional network, served from ONNX.

A refusal is `application/problem+json` whose `detail` says what to do; under /v1 and /v2 it is what those protocols
have, `{"error": "the same sentence"}`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service, its model loaded, checked and warmed.

    Args:
        settings: by default read from the environment, as uvicorn's worker processes do.

    Raises:
        DigitsError: the default model cannot be served; the sentence says why.
    """
    settings = settings or Settings()
    meter, access, drain = Meter(), AccessLog(settings), Drain(settings.drain_s, settings.grace_s)
    ids = RequestIds()
    engine = Engine(settings, meter)
    engine.start()
    scoreboard = Scoreboard(settings.run_dir, lambda: engine.state() | {"numbers": meter.snapshot()})
    for name in scoreboard.unloaded():  # a worker that takes a dead one's place
        engine.unload(name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scoreboard.publish()
        chores = [asyncio.create_task(_every(0.5, access.write)), asyncio.create_task(_every(1, scoreboard.publish))]
        chores.append(asyncio.create_task(watcher.run()))
        if grpc:
            await grpc.start()
        yield
        if grpc:
            await grpc.stop()
        for chore in chores:
            chore.cancel()
        access.write()
        scoreboard.publish()
        engine.close()
        feedback_store.close()

    recent = RecentPredictions(settings.recent_rows, settings.run_dir)
    watcher = Watcher(engine, scoreboard)
    feedback_store = FeedbackStore(settings.feedback_path, settings.max_feedback_rows)
    handler = predict.Predict(engine, settings, recent)
    serving = v1.TensorFlowServing(engine, settings, recent)
    direct: Direct = {
        ("POST", "/predict"): handler,
        ("POST", f"/v1/models/{settings.model}:predict"): serving.direct(settings.model),
    }
    infer = v2.Infer(engine, settings, recent)
    grpc = server_for(settings, engine, infer, watcher, scoreboard, drain, meter, access)
    app = Service(
        lambda inner: RequestMiddleware(inner, direct, meter, access, drain, ids, [(v2.PATTERN, v2.ROUTE, infer)]),
        title="Digit Recognizer",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        max_body_size=settings.max_body_bytes,
        docs_url=None,  # pages.py serves it without a CDN
        redoc_url=None,
        redirect_slashes=False,  # to an address made from the Host header, which may be another's
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.fast_path = FastPath(engine, handler, recent, meter, access, drain, ids)
    app.state.settings, app.state.engine, app.state.scoreboard = settings, engine, scoreboard
    app.state.recent, app.state.watcher, app.state.feedback = recent, watcher, feedback_store
    app.state.drain = drain
    app.include_router(predict.router(handler))
    app.include_router(v1.router(serving))
    app.include_router(v2.router(infer))
    app.include_router(models.router)
    app.include_router(admin.router)
    app.include_router(feedback.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(pages.router)
    app.mount("/static/docs", pages.swagger_files())
    app.mount("/static", pages.static_files())
    app.add_exception_handler(DigitsError, on_digits_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(Exception, on_internal_error)
    return app


class Service(FastAPI):
    """FastAPI behind RequestMiddleware instead of its own middleware, which costs more than the model.

    Attributes:
        fast_path: what our protocol asks before ASGI; other servers know nothing of it, and do without.
    """

    fast_path: FastPath

    def __init__(self, door: Callable[[ASGIApp], ASGIApp], **arguments: Any) -> None:
        self._door = door
        super().__init__(**arguments)

    def build_middleware_stack(self) -> ASGIApp:
        return self._door(super().build_middleware_stack())


async def _every(seconds: float, chore: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        chore()
