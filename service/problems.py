"""Errors as HTTP responses: application/problem+json (RFC 9457), whose `detail` says what was wrong and what to do.

Under /v1 and /v2 errors follow those protocols: {"error": "<the same sentence>"}, and 400 in place of 409 and 422.
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
INTERNAL_ERROR = "The service failed to process this request. Try again; if it fails again, report the x-request-id."


def document(path: str, status: int, detail: str, **more: Any) -> tuple[str, bytes]:
    """Media type and body of an error document, in the form that the path's protocol uses.

    Args:
        path: of the request; empty if unknown.
        status: HTTP status of the answer.
        detail: one sentence: what was wrong and what to do.
        more: members that only problem documents have, such as `field`.
    """
    if PROTOCOLS.match(path):
        return "application/json", orjson.dumps({"error": detail})
    found = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return MEDIA_TYPE, orjson.dumps(found)


def error_response(path: str, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The response with that document; under /v1 and /v2 the status is 400 in place of 409 and 422."""
    media_type, body = document(path, status, detail, **more)
    if PROTOCOLS.match(path) and status in (409, 422):
        status = 400
    return Response(body, status, headers, media_type)


def from_error(error: DigitsError, path: str) -> Response:
    """The response for a DigitsError; an InvalidValue adds `field`."""
    where = {"field": error.field} if isinstance(error, InvalidValue) and error.field else {}
    return error_response(path, error.status, str(error), error.headers, **where)


def internal_error(path: str) -> Response:
    """The response for an unexpected exception: it reveals nothing about the server."""
    return error_response(path, 500, INTERNAL_ERROR)
