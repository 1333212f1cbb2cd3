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


def error_response(path: str, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """An error response in the form that this path's protocol uses."""
    if not PROTOCOLS.match(path):
        return problem(status, detail, headers, **more)
    status = 400 if status in (409, 422) else status
    return Response(orjson.dumps({"error": detail}), status, headers, "application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """A response with a problem document: type, title, status, detail, and `more` members."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(orjson.dumps(document), status, headers, MEDIA_TYPE)


def from_error(error: DigitsError, path: str) -> Response:
    """The response for a DigitsError; an InvalidValue adds `field`."""
    where = {"field": error.field} if isinstance(error, InvalidValue) and error.field else {}
    return error_response(path, error.status, str(error), error.headers, **where)


def internal_error(path: str) -> Response:
    """The response for an unexpected exception: it reveals nothing about the server."""
    return error_response(path, 500, INTERNAL_ERROR)
