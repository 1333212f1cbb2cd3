"""The Open Inference Protocol over gRPC, on a port of its own (DIGITS_GRPC_PORT). It needs the extra `grpc`: nothing
here loads it until a port is set.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from service.errors import DigitsError

if TYPE_CHECKING:
    from service.context import Context
    from service.openinference.grpc.server import GrpcServer


def check_installed() -> None:
    """Raises DigitsError where the extra is missing."""
    if not find_spec("grpc") or not find_spec("google") or not find_spec("google.protobuf"):
        raise DigitsError("DIGITS_GRPC_PORT needs the extra grpc: pip install 'digit-recognizer[grpc]'.")


def server_for(context: Context) -> GrpcServer | None:
    """The server, not started yet; None where no port is set. Raises DigitsError where the extra is missing."""
    if context.settings.grpc_port is None:
        return None
    check_installed()
    from service.openinference.grpc.server import GrpcServer

    return GrpcServer(context)
