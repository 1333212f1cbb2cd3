"""Starting the service: settings -> bound ports, a loaded model, uvicorn in one process or in several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI
from pydantic import ValidationError

from service.app import create_app
from service.engine.engine import Engine
from service.errors import DigitsError, ModelBroken, NoSuchModel
from service.openinference.grpc import check_installed
from service.server import collector
from service.server.config import run, server_config
from service.server.drain import CUT_SHORT
from service.server.listener import authority, listen, reserved_for_grpc
from service.server.resources import Container
from service.server.workers import Workers, environment_of, follow_parent, shared_folder
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics import Meter

log = logging.getLogger("service")


def start(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal. Exits with 1 and one sentence if that cannot begin, with 2 if a setting is wrong."""
    settings = _settings(sys.argv[1:] if arguments is None else arguments)
    logs.set_up(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as PID 1 this process would ignore it by default
    try:
        with listen(settings.host, settings.port) as listener:
            settings = _fitted(settings)
            if settings.grpc_port is not None:
                check_installed()
            with reserved_for_grpc(settings) as settings:
                _serve(settings, listener)
    except (NoSuchModel, ModelBroken) as error:
        sys.exit(f"Cannot start: {error} (DIGITS_MODELS_DIR is {settings.models_dir})")
    except DigitsError as error:
        sys.exit(f"Cannot start: {error}")
    finally:
        logs.flush()


def application() -> FastAPI:
    """The application of one worker process, with settings from the environment."""
    follow_parent()
    logs.set_up(Settings())
    app = create_app()
    collector.resume_seldom()
    return _within_loop(app)


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


def _serve(settings: Settings, listener: socket.socket) -> None:
    address = "http://" + authority(settings.host, listener.getsockname()[1])
    if settings.workers == 1:
        _serve_in_this_process(settings, listener, address)
    else:
        _serve_in_workers(settings, listener, address)


def _serve_in_this_process(settings: Settings, listener: socket.socket, address: str) -> None:
    app = create_app(settings)
    collector.resume_seldom()
    _announce(app.state.context.engine, address, 1)
    run(server_config(lambda: _within_loop(app)), listener)


def _serve_in_workers(settings: Settings, listener: socket.socket, address: str) -> None:
    with shared_folder() as folder:
        settings = settings.model_copy(update={"run_dir": settings.run_dir or Path(folder)})
        os.environ.update(environment_of(settings))
        engine = Engine(settings, Meter())  # a model that cannot be served ends the parent, and not each worker
        engine.start()
        collector.resume_seldom()
        _announce(engine, address, settings.workers)
        workers = Workers(server_config("service.__main__:worker", workers=settings.workers), [listener])
        workers.run()
    if workers.cut_short():
        sys.exit(CUT_SHORT)


def _within_loop(app: FastAPI) -> FastAPI:
    """What needs the running event loop: take over the signals, and limit the threads that decode pictures."""
    app.state.context.drain.listen()
    threads = ThreadPoolExecutor(Container.read().threads(), "pictures")
    asyncio.get_running_loop().set_default_executor(threads)
    return app


def _announce(engine: Engine, address: str, workers: int) -> None:
    served = engine.served()
    what = f"{served.name} version {served.version} ({served.card.get('architecture', 'unknown architecture')})"
    how = f"{served.model.provider.upper()}, {workers} worker{'s' if workers > 1 else ''}"
    log.info("Serving %s on %s at %s", what, how, address)
