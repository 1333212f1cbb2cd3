"""Readiness of the server and of a version. HTTP reports it as a status code, gRPC as the field `ready`."""

from __future__ import annotations

from service.context import Context
from service.engine.resolve import resolve_version
from service.errors import Unavailable


def check_server(context: Context) -> None:
    """The server is ready if the default model is served and it is not draining. Raises Unavailable or NoSuchModel."""
    if context.stopping():
        raise Unavailable("This instance is stopping; use another one.")
    context.engine.served()


def check_version(context: Context, model: str, version: str = "") -> str:
    """The name of the model, if the version is served. Raises Unavailable or NoSuchModel."""
    return resolve_version(context.engine, model, version).name
