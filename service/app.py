"""create_app(settings): builds the parts of the service and connects them; the only module that imports them all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from service import __version__
from service.access.gate import Gate
from service.access.hosts import Hosts
from service.api import admin, feedback, health, metrics, models, pages, predict
from service.api.fast_path import FastPath
from service.api.schemas import operation_id
from service.context import Context
from service.engine.engine import Engine
from service.engine.watcher import Watcher
from service.feedback.recent import RecentPredictions
from service.feedback.store import FeedbackStore
from service.feedback.writer import FeedbackWriter
from service.http.error_handlers import add_error_handlers
from service.http.middleware import Direct, RequestMiddleware
from service.inputs.decoder import Decoder
from service.openinference import grpc
from service.openinference import http as open_inference
from service.repository.volume import Volume
from service.server import tls
from service.server.background import every, every_in_thread, keep_running
from service.server.budget import Budget
from service.server.connections import Connections
from service.server.drain import Drain
from service.server.orphans import Orphans
from service.server.watchdog import Watchdog
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter
from service.telemetry.request_ids import RequestIds
from service.telemetry.requests import RequestTelemetry
from service.telemetry.scoreboard import Scoreboard
from service.tfserving import routes as tensorflow_serving

KEYS_CHECK_S = 1

Beat = Callable[[], None]

DESCRIPTION = """Classifies handwritten digits with the lecture's convolutional network, exported to ONNX.

Errors are `application/problem+json` documents whose `detail` says what to do. Under /v1 and /v2 they have the form of
those protocols: `{"error": "<the same sentence>"}`."""


def create_app(settings: Settings | None = None, beat: Beat | None = None) -> FastAPI:
    """Build the service, with its models loaded, validated and warmed up.

    Args:
        settings: read from the environment if None, as in worker processes.
        beat: tells a supervisor that the event loop turns.

    Raises:
        DigitsError: the default model cannot be served; the message says why.
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
        lifespan=_lifespan(context, access, grpc.server_for(context), beat),
        max_body_size=settings.max_body_bytes,
        generate_unique_id_function=operation_id,
        docs_url=None,  # pages.py serves it without a CDN
        redoc_url=None,
        redirect_slashes=False,  # redirects would trust the Host header
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.fast_path, app.requests, app.ids = FastPath(context), context.requests, context.ids
    app.hosts, app.admin_port = Hosts(settings), settings.admin_port
    app.open_connections = Connections(
        settings.max_connections,
        settings.max_connections_per_client,
        context.budget,
        settings.write_timeout_s,
        context.gate.addresses,
    )
    context.drain.on_leave.append(app.open_connections.leave)
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
    """FastAPI inside RequestMiddleware; hot routes skip FastAPI's own middleware, which takes longer than the model.

    Attributes:
        fast_path: service.server.protocol offers it each request before ASGI; other ASGI servers ignore it.
        requests, ids: with these the protocol notes and names its responses to bytes that are no request.
        hosts: the names in Host headers that the protocol allows.
        admin_port: on which nothing is predicted.
        open_connections: counts and bounds those of the protocol.
    """

    fast_path: FastPath
    requests: RequestTelemetry
    ids: RequestIds
    hosts: Hosts
    admin_port: int | None
    open_connections: Connections

    def __init__(self, middleware: Callable[[ASGIApp], ASGIApp], **arguments: Any) -> None:
        self._middleware = middleware
        super().__init__(**arguments)

    def openapi(self) -> dict[str, Any]:
        """FastAPI's, with the ways in which a key can be sent; without keys in the settings none is needed."""
        if not self.openapi_schema:
            found = super().openapi()
            found["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            found["security"] = [{}, {"bearer": []}, {"apiKey": []}]
        return self.openapi_schema or {}

    def build_middleware_stack(self) -> ASGIApp:
        return self._middleware(super().build_middleware_stack())


def _context(settings: Settings, access: AccessLog) -> Context:
    """Build the parts of one process, with the promoted models loaded."""
    gate = Gate(settings)  # before the model: a file of keys that cannot be read ends the start
    certificate = _certificate(settings)
    meter, drain = Meter(), Drain(settings.drain_s, settings.grace_s)
    engine, volume = Engine(settings, meter), Volume(settings.models_timeout_s)
    engine.start(volume.wait)

    def state() -> dict[str, Any]:
        meter.events["log_lines_dropped "] = [float(logs.dropped_lines())]
        return engine.state() | {"numbers": meter.snapshot(), "leaving": drain.leaving}

    scoreboard = Scoreboard(settings.run_dir, state)
    drain.on_leave.append(scoreboard.publish)
    feedback = _feedback(settings)
    drain.on_last_moment += [engine.end_runs, volume.give_up, feedback.give_up]
    for name in scoreboard.unloaded():  # unloaded earlier, by a worker that this one may replace
        engine.unload(name)
    return Context(
        settings=settings,
        engine=engine,
        volume=volume,
        watcher=Watcher(engine, volume, scoreboard),
        decoder=Decoder(settings),
        recent=RecentPredictions(settings.recent_rows, settings.run_dir),
        feedback=feedback,
        requests=RequestTelemetry(meter, access),
        ids=RequestIds(),
        scoreboard=scoreboard,
        drain=drain,
        budget=Budget(settings.max_inflight_bytes),
        gate=gate,
        tls=certificate,
    )


def _certificate(settings: Settings) -> tls.Tls | None:
    if settings.tls_cert_path is None or settings.tls_key_path is None:
        return None
    return tls.Tls(settings.tls_cert_path, settings.tls_key_path)


def _feedback(settings: Settings) -> FeedbackWriter:
    store = FeedbackStore(settings.feedback_path, settings.max_feedback_rows)
    return FeedbackWriter(store, settings.max_feedback_queue_rows, settings.feedback_timeout_s)


def _lifespan(context: Context, access: AccessLog, grpc_server: Any, beat: Beat | None) -> Callable[[FastAPI], Any]:
    """Run the background tasks and the gRPC server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if beat:
            beat()
        context.scoreboard.listen()
        failed = partial(context.requests.event, "task_failures")
        works = _background(context, access, beat)
        tasks = [asyncio.create_task(keep_running(name, work, failed)) for name, work in works.items()]
        if grpc_server:
            await grpc_server.start()
        yield
        if grpc_server:
            await grpc_server.stop()
        for task in tasks:
            task.cancel()
        access.write()
        context.scoreboard.close()
        context.engine.close()
        context.volume.close()
        await context.feedback.close()
        await context.gate.quotas.close()
        logs.flush()

    return lifespan


def _background(context: Context, access: AccessLog, beat: Beat | None) -> dict[str, Callable[[], Awaitable[None]]]:
    """Tasks that live as long as the process, by name."""
    settings = context.settings
    watchdog = Watchdog(
        partial(context.requests.event, "loop_stalls"),
        beat or (lambda: None),
        settings.loop_timeout_s if settings.loop_exit and not beat else None,
    )
    works: dict[str, Callable[[], Awaitable[None]]] = {
        "access log": partial(every, 0.5, access.write),
        "scoreboard": partial(every, 1, context.scoreboard.listen),
        "recent predictions": partial(every, 1, context.recent.share),
        "watcher": context.watcher.run,
        "watchdog": watchdog.run,
    }
    if context.tls:
        works["certificate"] = partial(every_in_thread, tls.CHECK_S, context.tls.reload)
    if settings.keys_path:
        works["keys"] = partial(every_in_thread, KEYS_CHECK_S, context.gate.keys.reload)
    if os.getpid() == 1:
        works["orphans"] = partial(every, 0.5, Orphans().reap)
    return works
