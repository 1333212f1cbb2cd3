"""Waiting for what a running service will show sooner or later."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.support.server import PATIENCE_S


def until(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> float:
    """Wait until something holds; connections that break meanwhile do not count. How long it took, in seconds."""
    began = time.monotonic()
    while True:
        with suppress(OSError, http.client.HTTPException):
            if true():
                return time.monotonic() - began
        assert time.monotonic() < began + patience_s, "it never was so"
        time.sleep(0.02)
