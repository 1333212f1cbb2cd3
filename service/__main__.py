"""python -m service: settings -> a bound socket, a loaded model, uvicorn. `--help` lists every setting."""

from __future__ import annotations

import gc

if __name__ in ("__main__", "__mp_main__"):  # not where a test or another program imports this
    gc.disable()  # until _calm_collector: to look through what imports make, again and again, is a sixth of the start

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from service.app import create_app
from service.engine.engine import Engine
from service.errors import DigitsError, ModelBroken, NoSuchModel
from service.openinference.grpc import reserved
from service.server.drain import CUT_SHORT
from service.server.protocol import Protocol
from service.server.resources import Container
from service.server.workers import Workers
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics import Meter

log = logging.getLogger("service")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop. Exits 1 with one sentence where that cannot begin, 2 where a setting is wrong."""
    settings = _settings(sys.argv[1:] if arguments is None else arguments)
    logs.set_up(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # PID 1 has no default for it, and would go on
    try:
        with _bind(settings.host, settings.port) as listener, reserved(_fitted(settings)) as fitted:
            _serve(fitted, listener)
    except (NoSuchModel, ModelBroken) as error:
        sys.exit(f"Cannot start: {error} (DIGITS_MODELS_DIR is {settings.models_dir})")
    except DigitsError as error:
        sys.exit(f"Cannot start: {error}")


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


def _bind(host: str, port: int) -> socket.socket:
    """Take the address before anything slow. Raises DigitsError where it is in use or not ours to take."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except (OSError, UnicodeError) as error:
        if listener:
            listener.close()
        why = getattr(error, "strerror", "no such host")
        ours = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
        advice = (
            "Stop what listens there, or set DIGITS_PORT" if ours else "Set DIGITS_HOST to an address of this machine"
        )
        raise DigitsError(f"{host}:{port} cannot be listened on ({why}). {advice}.") from None
    return listener


def _serve(settings: Settings, listener: socket.socket) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listener.getsockname()[1]}"
    if settings.workers == 1:
        app = create_app(settings)
        _calm_collector()
        _announce(app.state.context.engine, address, 1)
        _run(uvicorn.Server(_config(lambda: _in_loop(app), factory=True)), listener)
        return
    with _folder() as folder:
        settings = settings.model_copy(update={"run_dir": settings.run_dir or Path(folder)})
        os.environ.update(_environment(settings))  # worker processes build their own application from it
        engine = Engine(settings, Meter())
        engine.start()
        _calm_collector()
        _announce(engine, address, settings.workers)
        config = _config("service.__main__:worker", factory=True, workers=settings.workers)
        workers = Workers(config, [listener])
        workers.run()
    if workers.cut_short():
        sys.exit(CUT_SHORT)


def _folder() -> TemporaryDirectory[str]:
    """What the workers share: in the usual place, or, where the root file system is read-only, in memory."""
    for place in (None, "/dev/shm"):
        with suppress(OSError):
            return TemporaryDirectory(prefix="digits-", dir=place)
    raise DigitsError(
        "several workers share a folder, and there is none to write to. Mount a tmpfs on /tmp, or set "
        "DIGITS_RUN_DIR or DIGITS_WORKERS=1."
    )


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    def stop(*_: object) -> None:  # uvicorn drains and then raises the signal again, to this: so we exit 0
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])


def worker() -> FastAPI:
    """The application of one worker process, with settings from the environment."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.setpgid(0, 0)  # a terminal's Ctrl-C is for the parent, which hands it on: twice would cut requests short
    logs.set_up(Settings())
    app = create_app()
    _calm_collector()
    return _in_loop(app)


def _end_with_parent() -> None:
    """A parent that is killed cannot tell its workers: they would hold the port for ever."""
    parent = parent_process()
    while parent and os.getppid() == parent.pid:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3)  # for what is in flight
    os._exit(1)


def _in_loop(app: FastAPI) -> FastAPI:
    """What can only be done within the running loop: take over the signals, and limit the threads."""
    app.state.context.drain.listen()
    threads = ThreadPoolExecutor(Container.read().threads(), "pictures")
    asyncio.get_running_loop().set_default_executor(threads)
    return app


def _calm_collector() -> None:
    """Requests make short-lived lists by the thousand and hardly a cycle: collect rarely, and never what lives long.

    What was made until now stays: a hundredth of it is garbage, 0.2 MB, and to find that takes 50 ms.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()


def _config(app: object, **more: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Protocol,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        **more,  # type: ignore[arg-type]
    )


def _environment(settings: Settings) -> dict[str, str]:
    values = ((name, getattr(settings, name)) for name in Settings.model_fields)
    return {
        f"DIGITS_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values
        if value is not None
    }


def _announce(engine: Engine, address: str, workers: int) -> None:
    served = engine.served()
    what = f"{served.name} version {served.version} ({served.card.get('architecture', 'unknown architecture')})"
    how = f"{served.model.provider.upper()}, {workers} worker{'s' if workers > 1 else ''}"
    log.info("Serving %s on %s at %s", what, how, address)


if __name__ == "__main__":
    main()
