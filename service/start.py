"""Starting the service: settings -> bound ports, a loaded model, uvicorn in one process or in several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import NoReturn

from fastapi import FastAPI
from pydantic import ValidationError
from uvicorn.config import STARTUP_FAILURE

from service.app import create_app
from service.engine.engine import Engine
from service.errors import DigitsError, ModelBroken, NoSuchModel
from service.openinference.grpc import check_installed
from service.repository.volume import Volume
from service.server import collector
from service.server.config import HttpServer
from service.server.listener import authority, listen, listening_for_admins, reserved_for_grpc
from service.server.parent import Parent
from service.server.resources import Container
from service.server.run_folder import run_folder
from service.server.workers import Workers, environment_of
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.exit import end_process
from service.telemetry.metrics import Meter

log = logging.getLogger("service")

# Else they are imported with the first request that needs them, which may come when no file can be opened
NEEDED_LATER = ("anyio._backends._asyncio", "encodings.unicode_escape")


def start(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal. Exits with 1 and one sentence if that cannot begin, with 2 if a setting is wrong."""
    settings = _settings(sys.argv[1:] if arguments is None else arguments)
    logs.set_up(settings)
    _end_on_signals()
    try:
        with listen(settings.host, settings.port) as listeners:
            settings = _fitted(settings)
            if settings.grpc_port is not None:
                check_installed()
            with (
                listening_for_admins(settings) as (settings, more),
                reserved_for_grpc(settings) as settings,
                run_folder(settings) as folder,
            ):
                code = _serve(settings.model_copy(update={"run_dir": folder}), listeners + more)
    except (NoSuchModel, ModelBroken) as error:
        sys.exit(f"Cannot start: {error} (DIGITS_MODELS_DIR is {settings.models_dir})")
    except DigitsError as error:
        sys.exit(f"Cannot start: {error}")
    finally:
        logs.flush()
    end_process(code)


def work(listeners: list[socket.socket], pipe: socket.socket) -> None:
    """Serve in a worker process, with settings from the environment; then end it. Exits with 3 if that cannot begin.

    Args:
        listeners: shared by all workers.
        pipe: to the supervisor.
    """
    _end_on_signals(end_process)
    parent = Parent(pipe)
    parent.start()
    settings = Settings()
    logs.set_up(settings)
    try:
        app = create_app(settings, parent.beat)
    except DigitsError as error:
        log.error("A worker cannot start: %s", error)
        end_process(STARTUP_FAILURE)
    collector.resume_seldom()
    _run(app, listeners, parent)
    end_process(0)


def _end_on_signals(end: Callable[[int], NoReturn] = sys.exit) -> None:
    """Until it serves. As PID 1 this process would ignore them by default."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: end(0))


def _settings(arguments: Sequence[str]) -> Settings:
    try:
        return Settings(_cli_parse_args=list(arguments))
    except ValidationError as error:
        for wrong in error.errors():
            name = ".".join(map(str, wrong["loc"]))
            sys.stderr.write(f"Cannot start: setting DIGITS_{name.upper()} ({wrong['msg']}); see --help.\n")
        sys.exit(2)


def _fitted(settings: Settings) -> Settings:
    container = Container.read()
    fitted = container.fit(settings)
    if container.memory or fitted != settings:
        log.info(container.sentence(fitted))
    return fitted


def _serve(settings: Settings, listeners: list[socket.socket]) -> int:
    """Until a signal. The exit code."""
    scheme = "https" if settings.tls_cert_path else "http"
    address = f"{scheme}://" + authority(settings.host, listeners[0].getsockname()[1])
    if settings.workers == 1:
        return _serve_in_this_process(settings, listeners, address)
    return _serve_in_workers(settings, listeners, address)


def _serve_in_this_process(settings: Settings, listeners: list[socket.socket], address: str) -> int:
    app = create_app(settings)
    collector.resume_seldom()
    _announce(app.state.context.engine, address, 1)
    _run(app, listeners)
    return 0


def _serve_in_workers(settings: Settings, listeners: list[socket.socket], address: str) -> int:
    os.environ.update(environment_of(settings))
    engine = Engine(settings, Meter())  # a model that cannot be served ends the parent, and not each worker
    volume = Volume(settings.models_timeout_s)
    engine.start(volume.wait)
    volume.close()
    collector.resume_seldom()
    _announce(engine, address, settings.workers)
    assert settings.run_dir is not None, "several workers share a folder"
    return Workers(settings, listeners, settings.run_dir).run()


def _run(app: FastAPI, listeners: list[socket.socket], parent: Parent | None = None) -> None:
    """uvicorn, until a signal or the supervisor ends it."""

    def within_loop() -> FastAPI:
        drain = app.state.context.drain
        drain.stop_accepting = server.stop_accepting
        drain.listen(server.finish, supervised=parent is not None)
        if parent:
            parent.obey(partial(drain.told, by_supervisor=True))
        threads = ThreadPoolExecutor(Container.read().threads(), "pictures")
        asyncio.get_running_loop().set_default_executor(threads)
        return app

    for name in NEEDED_LATER:
        import_module(name)
    context = app.state.context
    more = {"timeout_keep_alive": context.settings.keep_alive_s}
    if context.tls:
        more["ssl_context_factory"] = lambda *_: context.tls.context
    server = HttpServer(within_loop, **more)
    server.run(listeners)


def _announce(engine: Engine, address: str, workers: int) -> None:
    served = engine.served()
    what = f"{served.name} version {served.version} ({served.card.get('architecture', 'unknown architecture')})"
    how = f"{served.model.provider.upper()}, {workers} worker{'s' if workers > 1 else ''}"
    log.info("Serving %s on %s at %s", what, how, address)
