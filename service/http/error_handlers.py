"""Exceptions raised inside FastAPI, its own and ours -> the error responses of problems.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.errors import DigitsError
from service.problems import error_response, from_error, internal_error

Handler = Callable[[Request, Exception], Awaitable[Response]]


def add_error_handlers(app: FastAPI) -> None:
    """Register handlers, so that every error becomes a response of problems.py."""
    app.add_exception_handler(DigitsError, _released(on_digits_error))
    app.add_exception_handler(HTTPException, _released(on_http_error))
    app.add_exception_handler(RequestValidationError, _released(on_validation_error))
    app.add_exception_handler(Exception, on_internal_error)


def _released(handler: Handler) -> Handler:
    """FastAPI raises some errors from a variable of the frame that their traceback refers to: a cycle with the body."""

    async def handle(request: Request, error: Exception) -> Response:
        response = await handler(request, error)
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return response

    return handle


async def on_internal_error(request: Request, _: Exception) -> Response:
    return internal_error(request.url.path)


async def on_digits_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DigitsError)
    return from_error(error, request.url.path)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Errors of Starlette's router: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    details = {
        400: "The body cannot be parsed as JSON: it is nested too deeply, or damaged.",
        404: f"No route matches {request.url.path[:100]}; GET /docs lists all of them.",
        405: f"{request.method[:20]} is not allowed here; use {(error.headers or {}).get('Allow', 'another method')}.",
    }
    headers = dict(error.headers or {})
    detail = details.get(error.status_code, str(error.detail))
    return error_response(request.url.path, error.status_code, detail, headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Parameters and bodies that fail FastAPI's validation, such as a field of the wrong type."""
    assert isinstance(error, RequestValidationError)
    path, first = request.url.path, error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "it cannot be parsed")
        return error_response(path, 400, f"The body is not JSON: {reason}.")
    field = ".".join(str(part) for part in first["loc"])
    return error_response(path, 422, f"{field}: {first['msg']}.", field=field)
