"""Errors on the wire: application/problem+json (RFC 9457), whose `detail` says what was wrong and what to do.

Under /v1 and /v2 they are what those protocols demand, {"error": the same sentence}, and 409 and 422 are 400 there.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from service.errors import DigitsError, InvalidValue

MEDIA_TYPE = "application/problem+json"
PROTOCOLS = re.compile(r"/v[12](/|$)")
INTERNAL_ERROR = "Something went wrong here, not in your request. Try again, and report the x-request-id."


def document(path: str, status: int, detail: str, **more: Any) -> tuple[str, bytes]:
    """Media type and body of the error document that callers of this path expect.

    Args:
        path: of the request; empty where it is not known.
        status: of the answer.
        detail: one sentence: what was wrong and what to do.
        more: members that only problem documents have, such as `field`.
    """
    if PROTOCOLS.match(path):
        return "application/json", orjson.dumps({"error": detail})
    found = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return MEDIA_TYPE, orjson.dumps(found)


def error_response(path: str, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The answer with that document; under /v1 and /v2 a 409 or 422 becomes 400."""
    media_type, body = document(path, status, detail, **more)
    if PROTOCOLS.match(path) and status in (409, 422):
        status = 400
    return Response(body, status, headers, media_type)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """One problem document: type, title, status, detail, and what else the error knows."""
    return error_response("", status, detail, headers, **more)


def from_error(error: DigitsError, path: str) -> Response:
    """The document of one of our own errors; `field` says where, if somewhere."""
    where = {"field": error.field} if isinstance(error, InvalidValue) and error.field else {}
    return error_response(path, error.status, str(error), error.headers, **where)


def internal_error(path: str) -> Response:
    """A failure nobody expected: nothing about this machine, and an id to report."""
    return error_response(path, 500, INTERNAL_ERROR)
