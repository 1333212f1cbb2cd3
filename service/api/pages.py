"""GET / (the page) and GET /docs, whole without internet: a lecture hall's network is not to be counted on.

Browsers ask for text/html. Whoever asks GET / for anything else is a program, such as KServe's client of its V1
protocol, and learns that the server is alive.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from service.http.negotiation import preferred

VARY = {"Vary": "Accept"}
HERE = Path(__file__).parent.parent / "static"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """Draw a digit or drop a picture, and see what the model says; to programs, KServe's V1 answer: alive."""
    accept = ",".join(request.headers.getlist("accept"))
    if preferred(accept, ("application/json", "text/html")) == "text/html":
        return FileResponse(HERE / "index.html", headers=VARY)
    return JSONResponse({"status": "alive"}, headers=VARY)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI, from our own address."""
    root = request.scope.get("root_path", "").rstrip("/")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Digit Recognizer: every call",
        swagger_js_url=f"{root}/static/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/static/docs/swagger-ui.css",
        swagger_favicon_url=f"{root}/static/favicon.svg",
    )


def swagger_files() -> StaticFiles:
    """Swagger UI's own files, which the package fastapi-offline carries."""
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    return StaticFiles(directory=Path(package.origin).parent / "static")


def static_files() -> StaticFiles:
    """The page's own files; a browser asks each time whether they are still the newest."""
    return _Fresh(directory=HERE)


class _Fresh(StaticFiles):
    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response
