"""Is the server ready, is a version? HTTP says it with a status, gRPC with `ready`."""

from __future__ import annotations

from service.context import Context
from service.engine.resolve import resolve_version
from service.errors import Unavailable


def check_server(context: Context) -> None:
    """Ready while the default model is served and the service is not draining. Raises Unavailable or NoSuchModel."""
    if context.stopping():
        raise Unavailable("This instance is stopping; ask another one.")
    context.engine.served()


def check_version(context: Context, model: str, version: str = "") -> str:
    """The name of the model, if the version answers. Raises Unavailable or NoSuchModel."""
    return resolve_version(context.engine, model, version).name
