"""The context: no handler can change it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from fastapi import FastAPI

from service.context import Context


@pytest.fixture
def context(app: FastAPI) -> Context:
    found: Context = app.state.context
    return found


def test_a_handler_cannot_change_the_context(context: Context) -> None:
    changed: Any = context
    with pytest.raises(FrozenInstanceError):
        changed.engine = None
