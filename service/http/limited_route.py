"""A FastAPI route whose body is read under limits of size and time, which FastAPI itself does not have."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from service.context import Context
from service.http.body import read_body

MAX_JSON_BYTES = 64 * 1024


class LimitedRoute(APIRoute):
    """Reads at most 64 KiB, within DIGITS_BODY_TIMEOUT_S, before FastAPI parses it. An APIRouter's `route_class`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            context: Context = request.app.state.context
            body = await read_body(request.scope, request.receive, context.settings, MAX_JSON_BYTES)
            message: Message | None = {"type": "http.request", "body": body, "more_body": False}

            async def receive() -> Message:
                nonlocal message
                whole, message = message, None
                return whole if whole is not None else await request.receive()

            return await handle(Request(request.scope, receive))

        return limited
