"""Middleware around every HTTP request: request id, error responses, draining, metrics and access log.

Routes in `direct` are dispatched here, without FastAPI's routing, which takes longer than the model.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.client import UNKNOWN
from service.access.gate import Ports, scope_of
from service.access.origins import Origins
from service.access.prefix import Prefix
from service.context import Context
from service.errors import DigitsError, Unavailable
from service.http.cors import cors
from service.problems import from_error, internal_error
from service.server.answer_timeout import answer_timeout
from service.server.budget import Lease
from service.telemetry.requests import CLIENT_CLOSED_REQUEST

log = logging.getLogger("service")

Direct = Mapping[tuple[str, str], ASGIApp]
Patterns = Sequence[tuple[re.Pattern[str], str, ASGIApp]]

SERVED_WHILE_DRAINING = ("/health/", "/metrics", "/v2/health/")
BODY_TIMEOUT_S = 0.5
NOSNIFF = (b"x-content-type-options", b"nosniff")  # an answer is what its Content-Type says, and nothing else


class RequestMiddleware:
    """Plain ASGI middleware. An unexpected exception becomes a 500; the traceback goes to the log only.

    Args:
        app: the rest of the service.
        context: request ids, drain state, request telemetry.
        direct: (method, path) -> ASGI handler, for the routes that must be fast.
        patterns: the same for paths with parameters: a pattern that "METHOD /path" must match (its groups become the
            `path_params`), the route's name in metrics, and the handler.
    """

    def __init__(self, app: ASGIApp, context: Context, direct: Direct, patterns: Patterns = ()) -> None:
        self._app = app
        self._direct = direct
        self._patterns = patterns
        self._requests = context.requests
        self._drain = context.drain
        self._ids = context.ids
        self._budget = context.budget
        self._cors = cors(context.settings)
        self._origins = Origins(context.settings)
        self._gate = context.gate
        self._ports = Ports(context.settings)
        self._prefix = Prefix(context.settings, context.gate.addresses)
        self._answer_timeout_s = context.settings.answer_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        request_id = self._ids.of(scope["headers"])
        peer = scope.get("client")
        client = self._gate.client(peer[0] if peer else UNKNOWN, scope["headers"])
        scope["request_id"], scope["caller"] = request_id, client
        scope["lease"] = lease = Lease(self._budget, client.name)
        status, complete = 0, False
        timer: asyncio.Timeout | None = None
        drain = self._drain

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                if timer:  # how fast the client reads is no concern of it
                    timer.reschedule(None)
                message["headers"] += ((b"x-request-id", request_id), NOSNIFF)
                if drain.leaving:
                    message["headers"].append((b"connection", b"close"))
            else:
                complete = not message.get("more_body")
            await send(message)

        if self._prefix.possible:
            self._prefix.apply(scope)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server still knows that it was HEAD, and sends no body
        handler = self._direct.get((scope["method"], scope["path"])) or self._by_pattern(scope)
        if drain.refusing and not scope["path"].startswith(SERVED_WHILE_DRAINING):
            handler = _reject
        drain.inside += 1
        try:
            if scope["method"] == "POST":
                self._origins.check(scope["headers"])
            if self._ports.matter:
                self._ports.check(scope["path"], scope.get("server"))
            if not self._gate.open and scope["method"] != "OPTIONS":  # a preflight carries no key
                await self._gate.enter(client, scope_of(scope["path"]))
                lease.client = client.name
            try:
                async with answer_timeout(self._answer_timeout_s) as timer:
                    scope["timer"] = timer
                    await self._cors(handler)(scope, receive, send_with_id)
            finally:  # it refers to the task, whose error may refer to the scope: a cycle with the body
                timer = None
                scope.pop("timer", None)
        except DigitsError as error:
            await self._cors(from_error(error, scope["path"]))(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except Exception:  # the caller gets an id to report, the log gets the traceback
            log.exception("request %s failed", request_id.decode())
            if status and not complete:  # an incomplete answer: uvicorn must close the connection
                raise
            if not status:
                await self._cors(internal_error(scope["path"]))(scope, receive, send_with_id)
        finally:
            drain.inside -= 1
            lease.close()
        seconds, method = perf_counter() - start, scope["method"]
        route = _route(scope, self._direct)
        self._requests.note(method, scope["path"], route, status, seconds, request_id, client.label)

    def _by_pattern(self, scope: Scope) -> ASGIApp:
        for pattern, route, handler in self._patterns:
            if found := pattern.fullmatch(f"{scope['method']} {scope['path']}"):
                scope["path_params"], scope["direct_route"] = found.groupdict(""), route
                return handler
        return self._app


async def _reject(_: Scope, receive: Receive, __: Send) -> None:
    """Answer 503 while draining. It reads the body first: closing with unread bytes resets the connection."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while (await receive()).get("more_body"):
                pass
    raise Unavailable("This instance is stopping and accepts no new requests; retry on another one.")


def _route(scope: Scope, direct: Direct) -> str:
    """The route's pattern, not the path: callers must not be able to create new metric labels."""
    if (scope["method"], scope["path"]) in direct:
        path: str = scope["path"]
        return path
    found: str = scope["direct_route"] if "direct_route" in scope else getattr(scope.get("route"), "path", "unmatched")
    return found
