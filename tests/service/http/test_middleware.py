"""The middleware: dispatch of direct routes, request ids, errors, draining, and what is counted for each request."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.context import Context
from service.errors import Conflict
from service.http.middleware import RequestMiddleware
from service.problems import INTERNAL_ERROR
from service.telemetry.metrics import exposition
from service.telemetry.requests import CLIENT_CLOSED_REQUEST
from tests.support.asgi import Answer, acall, call
from tests.support.refusals import check_problem

PATTERN = re.compile(r"POST /things/(?P<name>[^/]+)(?:/parts/(?P<part>[^/]+))?")


def answering(text: str) -> ASGIApp:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        shown = f"{text} {scope['method']} {scope.get('path_params')}"
        await Response(shown)(scope, receive, send)

    return handler


def raising(error: Exception, after_start: bool = False) -> ASGIApp:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    return handler


@pytest.fixture
def context(app: Any) -> Context:
    """The context of a real service; each test leaves its drain state as it was."""
    found: Context = app.state.context
    return found


def around(context: Context, inner: ASGIApp) -> RequestMiddleware:
    direct = {("POST", "/hot"): answering("hot")}
    return RequestMiddleware(inner, context, direct, [(PATTERN, "/things/{n}", answering("by pattern"))])


def metrics(context: Context) -> str:
    return exposition(context.requests._meter.snapshot(), []).decode()


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("POST", "/hot", "hot POST None"),
        ("GET", "/hot", "inner GET None"),
        ("POST", "/hot/", "inner POST None"),
        ("POST", "/things/x", "by pattern POST {'name': 'x', 'part': ''}"),
        ("POST", "/things/x/parts/7", "by pattern POST {'name': 'x', 'part': '7'}"),
        ("POST", "/things/x/parts/7/more", "inner POST None"),
        ("HEAD", "/anything", "inner GET None"),
        ("HEAD", "/v2/models/x", "inner GET None"),  # answered as GET; the server sends no body
        ("HEAD", "/v10", "inner GET None"),
    ],
)
def test_dispatch(context: Context, method: str, path: str, text: str) -> None:
    assert call(around(context, answering("inner")), method, path).body.decode() == text


def test_a_callers_request_id_is_returned_and_a_missing_one_is_made(context: Context) -> None:
    middleware = around(context, answering("inner"))
    assert call(middleware, headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    made = [call(middleware).headers["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3


@pytest.mark.parametrize("path", ["/hot2", "/v1/x", "/v2/x"])
def test_errors_become_responses(context: Context, path: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = call(around(context, raising(Conflict("It was never published; publish it."))), path=path)
    assert answer.status == (400 if path.startswith("/v") else 409)
    assert "never published" in answer.body.decode()
    assert not caplog.records
    answer = call(around(context, raising(RuntimeError("/secret/path"))), path=path, headers={"X-Request-Id": "mine"})
    assert (answer.status, answer.headers["x-request-id"]) == (500, "mine")
    assert INTERNAL_ERROR in answer.body.decode()
    assert b"secret" not in answer.body
    assert [record.getMessage() for record in caplog.records] == ["request mine failed"]
    assert context.drain.inside == 0


def test_an_error_after_the_start_of_an_answer_is_raised_so_that_the_connection_closes(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError, match="late"):
        call(around(context, raising(RuntimeError("late"), after_start=True)))
    assert len(caplog.records) == 1
    assert context.drain.inside == 0


def test_a_disconnect_is_neither_answered_nor_logged_as_an_error(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/gone", "headers": []}
    asyncio.run(around(context, raising(ClientDisconnect()))(scope, receive, send))
    assert sent == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert f'status="{CLIENT_CLOSED_REQUEST}"' in metrics(context)


def test_metrics_name_the_route_and_not_the_path(context: Context) -> None:
    middleware = around(context, answering("inner"))
    for path in ("/hot", "/things/one", "/things/two/parts/3", "/typed-by-a-caller"):
        call(middleware, path=path)
    text = metrics(context)
    for route in ("/hot", "/things/{n}", "unmatched"):
        assert f'route="{route}"' in text
    assert "typed-by-a-caller" not in text
    assert "/things/one" not in text


def test_while_draining_new_requests_get_503_and_probes_are_answered(context: Context) -> None:
    middleware = around(context, answering("inner"))
    context.drain.leaving = context.drain.refusing = True
    try:
        answer = asyncio.run(acall(middleware, body=[b"x" * 1000, b"y"]))
        check_problem(answer.status, answer.headers, answer.body, 503, says="stopping")
        assert answer.headers["connection"] == "close"
        assert answer.headers["retry-after"].isdigit()
        for path in ("/health/live", "/metrics", "/v2/health/ready"):
            probe: Answer = call(middleware, "GET", path)
            assert (probe.status, probe.headers["connection"]) == (200, "close")
    finally:
        context.drain.leaving = context.drain.refusing = False
