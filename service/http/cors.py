"""Which pages of other origins a browser lets read our answers (CORS). None, unless DIGITS_CORS_ORIGINS names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.settings import Settings

METHODS = ("GET", "HEAD", "POST")
READABLE = ("X-Request-Id", "Retry-After", "Inference-Header-Content-Length")  # beyond those that every script may read
PREFLIGHT_S = 600  # browsers may remember the answer for so long


def cors(settings: Settings) -> Callable[[ASGIApp], ASGIApp]:
    """What wraps every handler and every error response: it answers preflights, and adds the headers to all others.

    Cookies are not used here, so credentials are not allowed: a key travels in a header, which the page must know.
    """
    origins = settings.cors_origins.split(",") if settings.cors_origins else []
    if not origins:
        return lambda app: app
    return partial(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in origins],
        allow_methods=METHODS,
        allow_headers=("*",),
        expose_headers=READABLE,
        max_age=PREFLIGHT_S,
    )
