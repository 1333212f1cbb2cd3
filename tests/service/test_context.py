"""The context: its inference is timed from its making, and its admin key is checked for HTTP and gRPC alike."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from service.context import Context
from service.errors import Forbidden, Unauthorized


@pytest.fixture
def context(app: FastAPI) -> Context:
    found: Context = app.state.context
    return replace(found, settings=found.settings.model_copy(update={"admin_key": SecretStr("open sesame")}))


@pytest.mark.parametrize(
    "headers",
    [{"x-admin-key": "open sesame"}, {"authorization": "Bearer open sesame"}, {"authorization": "BEARER open sesame"}],
)
def test_the_right_admin_key_in_either_header(context: Context, headers: dict[str, str]) -> None:
    context.check_admin_key(headers)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, Unauthorized),
        ({"authorization": "open sesame"}, Unauthorized),
        ({"authorization": "Basic open sesame"}, Unauthorized),
        ({"X-Admin-Key": "open sesame"}, Unauthorized),  # names must be in lower case, as ASGI and gRPC give them
        ({"x-admin-key": "opén sesame"}, Forbidden),
        ({"x-admin-key": "open sesam"}, Forbidden),
    ],
)
def test_a_missing_and_a_wrong_admin_key(context: Context, headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        context.check_admin_key(headers)
    assert "sesam" not in str(caught.value)


def test_without_an_admin_key_in_the_settings_no_key_is_right(app: FastAPI) -> None:
    for headers in ({}, {"x-admin-key": ""}, {"x-admin-key": "open sesame"}):
        with pytest.raises(Forbidden, match="DIGITS_ADMIN_KEY"):
            app.state.context.check_admin_key(headers)


def test_a_handler_cannot_change_the_context(context: Context) -> None:
    changed: Any = context
    with pytest.raises(FrozenInstanceError):
        changed.engine = None
