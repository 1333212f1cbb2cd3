"""Errors as HTTP responses: problem documents with a sentence and a request id that reveal nothing about the server."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from service import errors
from service.app import create_app
from service.errors import DigitsError, InvalidValue, Unavailable
from service.settings import Settings
from tests.support.asgi import Answer, acall, call
from tests.support.refusals import check_problem
from tests.support.server import Server

SECRET = "could not open /etc/secrets/key.pem"


def every_error() -> list[type[DigitsError]]:
    found = [DigitsError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


@pytest.fixture(scope="module")
def failing(models_dir: Path) -> FastAPI:
    """The service with routes that raise a given error."""
    app = create_app(Settings(models_dir=models_dir))

    def fail(request: Request) -> None:
        raise request.app.state.error

    async def fail_on_the_loop(request: Request) -> None:
        fail(request)

    app.add_api_route("/fails", fail)
    app.add_api_route("/fails/here", fail_on_the_loop)
    return app


def answered(app: FastAPI, error: Exception, path: str = "/fails") -> Answer:
    app.state.error = error
    return call(app, "GET", path)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("path", ["/fails", "/fails/here"])
def test_every_error_is_a_problem_with_its_status(failing: FastAPI, kind: type[DigitsError], path: str) -> None:
    answer = answered(failing, kind("Something was wrong; do something else."), path)
    problem = check_problem(answer.status, answer.headers, answer.body, kind.status)
    assert 400 <= kind.status < 600
    assert problem["detail"] == "Something was wrong; do something else."
    assert "field" not in problem


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    assert errors.__doc__
    drawn = dict(re.findall(r"(\w+)\s+(\d{3})", errors.__doc__))
    assert drawn == {kind.__name__: str(kind.status) for kind in every_error()}


def test_an_invalid_value_names_its_place(failing: FastAPI) -> None:
    assert answered(failing, InvalidValue("That is wrong there.", "instances[0]")).json()["field"] == "instances[0]"
    assert "field" not in answered(failing, InvalidValue("That is wrong.")).json()


def test_unavailable_says_when_to_come_back(failing: FastAPI) -> None:
    assert answered(failing, Unavailable("Not now.")).headers["retry-after"] == "1"
    assert answered(failing, Unavailable("Not now.", 30)).headers["retry-after"] == "30"


def test_a_detail_of_any_characters_comes_through(failing: FastAPI) -> None:
    detail = 'quotes " and \\ and \u2028 and é and \0.'
    assert answered(failing, InvalidValue(detail)).json()["detail"] == detail


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/predict/x",
        "/v9",
        "/%0d%0aSet-Cookie:%20a=b",
        "/%22%3E%3Cscript%3E",
        "/" + "x" * 5000,
        "/%ff%fe",
        "//",
        "/a?b=c",
    ],
)
def test_unknown_paths(app: FastAPI, path: str) -> None:
    answer = call(app, "GET", path)
    check_problem(answer.status, answer.headers, answer.body, (404, 405))
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["BREW", "get", "", "X" * 1000, "TRACE"])
def test_unknown_methods(app: FastAPI, method: str) -> None:
    answer = call(app, method, "/predict")
    check_problem(answer.status, answer.headers, answer.body, 405)


@pytest.mark.parametrize("path", ["/fails", "/fails/here"])
def test_an_unexpected_exception_is_a_500_that_reveals_nothing(
    failing: FastAPI, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = answered(failing, RuntimeError(SECRET), path)
    problem = check_problem(answer.status, answer.headers, answer.body, 500)
    assert SECRET not in problem["detail"]
    assert answer.headers["x-request-id"] in caplog.text
    assert SECRET in caplog.text


def test_the_callers_own_id_comes_back(app: FastAPI, server: Server) -> None:
    for path in ("/health/live", "/nothing", "/predict"):
        answer = call(app, "GET", path, headers={"X-Request-ID": "abc-123/~"})
        assert answer.headers["x-request-id"] == "abc-123/~"
        assert server.client.get(path, headers={"X-Request-ID": "abc-123/~"}).headers["x-request-id"] == "abc-123/~"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "a\tb", "\x00"])
def test_an_unusable_request_id_is_replaced(app: FastAPI, given: str) -> None:
    answer = call(app, "GET", "/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert re.fullmatch(r"[!-~]{8,}", answer.headers["x-request-id"])


def test_ids_differ(app: FastAPI) -> None:
    async def many() -> list[Answer]:
        return await asyncio.gather(*(acall(app, "GET", "/health/live") for _ in range(100)))

    assert len({answer.headers["x-request-id"] for answer in asyncio.run(many())}) == 100


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    ["/v2/models/digits/infer/", "/v2/health/live/", "/v1/models/digits:predict/", "/predict/", "/docs/", "/models/"],
)
def test_a_slash_too_many_is_404_and_no_redirect(app: FastAPI, method: str, path: str) -> None:
    """A redirect would trust the Host header."""
    answer = call(app, method, path, b"{}", {"Host": "evil.example"})
    assert answer.status == 404
    assert "location" not in answer.headers
    assert b"evil" not in answer.body
    protocol = path.startswith(("/v1", "/v2"))
    assert list(answer.json()) == (["error"] if protocol else ["type", "title", "status", "detail"])


def test_slashes_that_belong_there(app: FastAPI) -> None:
    for path in ("/", "/v2/", "/v2", "/docs", "/static/favicon.svg", "/static/docs/swagger-ui.css"):
        assert call(app, "GET", path).status == 200, path
