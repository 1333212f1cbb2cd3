"""The dependency `admin_only`: admin routes require the admin key, in either header; other routes ignore it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.support.asgi import Answer, call
from tests.support.models import publish
from tests.support.refusals import check_problem

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

ADMIN_CALLS = ["/models/digits/versions/1/promote", "/v2/repository/models/digits/load"]


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    publish(tmp_path)
    return create_app(
        Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite", admin_key="open sesame, please")
    )


def ask(app: FastAPI, path: str, **headers: str) -> Answer:
    return call(app, path=path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("path", ADMIN_CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer open sesame, please"},
        {"authorization": "bearer open sesame, please"},
        {"x_admin_key": "open sesame, please"},
        {"x_admin_key": "open sesame, please", "authorization": "Bearer wrong"},  # X-Admin-Key takes precedence
    ],
)
def test_the_right_key(app: FastAPI, path: str, headers: dict[str, str]) -> None:
    answer = ask(app, path, **headers)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("path", ADMIN_CALLS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Basic open sesame, please"}, 401),  # another scheme is not a key
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer open sesame, please "}, 401),
        ({"authorization": "Bearer é"}, 401),
        ({"x_admin_key": "OPEN SESAME"}, 401),
        ({"x_admin_key": "open"}, 401),
        ({"x_admin_key": "wrong", "authorization": "Bearer open sesame, please"}, 401),
    ],
)
def test_no_key_and_a_wrong_key_are_401(app: FastAPI, path: str, headers: dict[str, str], status: int) -> None:
    answer = ask(app, path, **headers)
    assert answer.status == status, answer.body
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert b"open sesame, please" not in answer.body


def test_without_a_key_in_the_settings_every_key_is_403(tmp_path: Path) -> None:
    publish(tmp_path)
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    for headers in ({}, {"x_admin_key": ""}, {"x_admin_key": "None"}, {"authorization": "Bearer None"}):
        answer = ask(app, ADMIN_CALLS[0], **headers)
        check_problem(answer.status, answer.headers, answer.body, 403, says="DIGITS_ADMIN_KEY")


def test_other_calls_ignore_the_key(app: FastAPI) -> None:
    assert call(app, "GET", "/models", headers={"X-Admin-Key": "wrong"}).status == 200
