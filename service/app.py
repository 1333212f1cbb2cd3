"""create_app(settings): builds and wires the service; the only file that knows all the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from service import __version__
from service.api import admin, feedback, health, metrics, models, pages, predict
from service.api.fast_path import FastPath
from service.context import Context
from service.engine.engine import Engine
from service.engine.watcher import Watcher
from service.feedback.recent import RecentPredictions
from service.feedback.store import FeedbackStore
from service.http.error_handlers import add_error_handlers
from service.http.middleware import Direct, RequestMiddleware
from service.inputs.decoder import Decoder
from service.openinference import grpc
from service.openinference import http as open_inference
from service.server.drain import Drain
from service.settings import Settings
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter
from service.telemetry.request_ids import RequestIds
from service.telemetry.requests import RequestTelemetry
from service.telemetry.scoreboard import Scoreboard
from service.tfserving import routes as tensorflow_serving

DESCRIPTION = """Handwritten digits in, digits out: the lecture's convolutional network, served from ONNX.

An error is `application/problem+json` whose `detail` says what to do; under /v1 and /v2 it has the form of those
protocols, `{"error": "the same sentence"}`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service, its model loaded, checked and warmed.

    Args:
        settings: by default read from the environment, as uvicorn's worker processes do.

    Raises:
        DigitsError: the default model cannot be served; the sentence says why.
    """
    settings = settings or Settings()
    access = AccessLog(settings)
    context = _context(settings, access)
    predictor = predict.Predict(context)
    serving = tensorflow_serving.TensorFlowServing(context)
    infer = open_inference.Infer(context)
    direct: Direct = {
        ("POST", "/predict"): predictor,
        ("POST", f"/v1/models/{settings.model}:predict"): serving.direct(settings.model),
    }
    patterns = [(open_inference.PATTERN, open_inference.ROUTE, infer)]
    app = Service(
        lambda inner: RequestMiddleware(inner, context, direct, patterns),
        title="Digit Recognizer",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(context, access, grpc.server_for(context)),
        max_body_size=settings.max_body_bytes,
        docs_url=None,  # pages.py serves it without a CDN
        redoc_url=None,
        redirect_slashes=False,  # redirects would trust the Host header
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.fast_path, app.requests, app.ids = FastPath(context), context.requests, context.ids
    app.state.context = context
    routers = [predict.router(predictor), tensorflow_serving.router(serving), open_inference.router(infer)]
    routers += [each.router for each in (models, admin, feedback, health, metrics, pages)]
    for router in routers:
        app.include_router(router)
    app.mount("/static/docs", pages.swagger_files())
    app.mount("/static", pages.static_files())
    add_error_handlers(app)
    return app


class Service(FastAPI):
    """FastAPI behind RequestMiddleware instead of its own middleware, which costs more than the model.

    Attributes:
        fast_path: what our protocol asks before ASGI; other servers do not know it, and work without it.
        requests, ids: by these our protocol notes and names its answers to bytes that are no request.
    """

    fast_path: FastPath
    requests: RequestTelemetry
    ids: RequestIds

    def __init__(self, middleware: Callable[[ASGIApp], ASGIApp], **arguments: Any) -> None:
        self._middleware = middleware
        super().__init__(**arguments)

    def build_middleware_stack(self) -> ASGIApp:
        return self._middleware(super().build_middleware_stack())


def _context(settings: Settings, access: AccessLog) -> Context:
    """All parts of one process, with the promoted models loaded."""
    meter = Meter()
    engine = Engine(settings, meter)
    engine.start()
    scoreboard = Scoreboard(settings.run_dir, lambda: engine.state() | {"numbers": meter.snapshot()})
    for name in scoreboard.unloaded():  # a worker that replaces a dead one
        engine.unload(name)
    return Context(
        settings=settings,
        engine=engine,
        watcher=Watcher(engine, scoreboard),
        decoder=Decoder(settings),
        recent=RecentPredictions(settings.recent_rows, settings.run_dir),
        feedback=FeedbackStore(settings.feedback_path, settings.max_feedback_rows),
        requests=RequestTelemetry(meter, access),
        ids=RequestIds(),
        scoreboard=scoreboard,
        drain=Drain(settings.drain_s, settings.grace_s),
    )


def _lifespan(context: Context, access: AccessLog, grpc_server: Any) -> Callable[[FastAPI], Any]:
    """What runs beside the requests: log lines, the scoreboard, the watcher, the gRPC server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        context.scoreboard.publish()
        tasks = [
            asyncio.create_task(_every(0.5, access.write)),
            asyncio.create_task(_every(1, context.scoreboard.publish)),
        ]
        tasks.append(asyncio.create_task(context.watcher.run()))
        if grpc_server:
            await grpc_server.start()
        yield
        if grpc_server:
            await grpc_server.stop()
        for task in tasks:
            task.cancel()
        access.write()
        context.scoreboard.publish()
        context.engine.close()
        context.feedback.close()

    return lifespan


async def _every(seconds: float, job: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        job()
