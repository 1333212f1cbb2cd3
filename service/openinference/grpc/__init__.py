"""The Open Inference Protocol over gRPC, on a port of its own (DIGITS_GRPC_PORT). It needs the extra `grpc`: nothing
here loads it until a port is set.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from service.errors import DigitsError
from service.settings import Settings

if TYPE_CHECKING:
    from service.engine.engine import Engine
    from service.engine.watcher import Watcher
    from service.openinference.grpc.server import GrpcServer
    from service.openinference.http import Infer
    from service.server.drain import Drain
    from service.telemetry.logs import AccessLog
    from service.telemetry.metrics import Meter
    from service.telemetry.scoreboard import Scoreboard


def check_installed() -> None:
    """Raises DigitsError where the extra is missing."""
    if not find_spec("grpc") or not find_spec("google") or not find_spec("google.protobuf"):
        raise DigitsError("DIGITS_GRPC_PORT needs the extra grpc: pip install 'digit-recognizer[grpc]'.")


def server_for(
    settings: Settings,
    engine: Engine,
    infer: Infer,
    watcher: Watcher,
    scoreboard: Scoreboard,
    drain: Drain,
    meter: Meter,
    access: AccessLog,
) -> GrpcServer | None:
    """The server, not started yet; None where no port is set. Raises DigitsError where the extra is missing."""
    if settings.grpc_port is None:
        return None
    check_installed()
    from service.openinference.grpc.server import GrpcServer
    from service.openinference.grpc.servicer import Calls

    return GrpcServer(Calls(engine, settings, infer, watcher, scoreboard, drain), settings, drain, meter, access)
