"""Errors inside FastAPI's routing become the documents of problems.py, in the form of the path's protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from service.errors import InvalidValue
from service.http.error_handlers import add_error_handlers
from tests.support.asgi import Answer, call

PREFIXES = ["", "/v1", "/v2"]


class Body(BaseModel):
    label: int


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """A bare application with our handlers, and the same routes under every protocol's prefix."""
    made, routes = FastAPI(), APIRouter()

    @routes.post("/typed/{number}")
    async def typed(number: int, body: Body) -> None: ...

    @routes.get("/invalid")
    async def invalid() -> None:
        raise InvalidValue("label is 11; give 0 to 9.", "body.label")

    @routes.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "No coffee here.", {"X-Pot": "tea"})

    for prefix in PREFIXES:
        made.include_router(routes, prefix=prefix)
    add_error_handlers(made)
    return made


def checked(answer: Answer, prefix: str, status: int) -> dict[str, Any]:
    """The document, after checks of its form and its status, of which /v1 and /v2 know neither 409 nor 422."""
    document: dict[str, Any] = answer.json()
    if prefix:
        assert answer.status == (400 if status in (409, 422) else status)
        assert answer.headers["content-type"] == "application/json"
        assert list(document) == ["error"]
        return {"detail": document["error"]}
    assert (answer.status, document["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    return document


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_unknown_path(app: FastAPI, prefix: str) -> None:
    document = checked(call(app, "GET", f"{prefix}/{'x' * 5000}"), prefix, 404)
    assert "GET /docs" in document["detail"]
    assert len(document["detail"]) < 200


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_wrong_method_names_the_right_one(app: FastAPI, prefix: str) -> None:
    answer = call(app, "DELETE", f"{prefix}/invalid")
    assert "DELETE is not allowed here; use GET." in checked(answer, prefix, 405)["detail"]
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_another_error_of_starlette_keeps_its_status_text_and_headers(app: FastAPI, prefix: str) -> None:
    answer = call(app, "GET", f"{prefix}/teapot")
    assert checked(answer, prefix, 418)["detail"] == "No coffee here."
    assert answer.headers["x-pot"] == "tea"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_error_of_ours_names_its_field(app: FastAPI, prefix: str) -> None:
    document = checked(call(app, "GET", f"{prefix}/invalid"), prefix, 422)
    assert document["detail"] == "label is 11; give 0 to 9."
    assert document.get("field") == (None if prefix else "body.label")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/typed/x", {"label": 1}, "path.number"),
        ("/typed/1", {"label": "x"}, "body.label"),
        ("/typed/1", {}, "body.label"),
        ("/typed/1", [], "body"),
    ],
)
def test_parameters_and_bodies_that_fail_validation(
    app: FastAPI, prefix: str, path: str, body: Any, field: str
) -> None:
    answer = call(app, path=prefix + path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    document = checked(answer, prefix, 422)
    assert document["detail"].startswith(f"{field}: ")
    assert document.get("field") == (None if prefix else field)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_body_that_is_not_json_is_400(app: FastAPI, prefix: str) -> None:
    answer = call(app, path=f"{prefix}/typed/1", body=b'{"label": ', headers={"Content-Type": "application/json"})
    document = checked(answer, prefix, 400)
    assert document["detail"].startswith("The body is not JSON: ")
