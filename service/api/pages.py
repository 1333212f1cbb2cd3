"""GET / (the web page) and GET /docs. Both work offline, since a lecture hall may have no network.

Browsers ask for text/html. A client that asks GET / for anything else is a program, such as KServe's client of its V1
protocol, and gets {"status": "alive"}.
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
    """The web page: draw a digit or drop a picture, and see the prediction. To programs, KServe's V1 answer: alive."""
    accept = ",".join(request.headers.getlist("accept"))
    if preferred(accept, ("application/json", "text/html")) == "text/html":
        return FileResponse(HERE / "index.html", headers=VARY)
    return JSONResponse({"status": "alive"}, headers=VARY)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI, loaded from this service and not from a CDN."""
    root = request.scope.get("root_path", "").rstrip("/")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Digit Recognizer: every call",
        swagger_js_url=f"{root}/static/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/static/docs/swagger-ui.css",
        swagger_favicon_url=f"{root}/static/favicon.svg",
    )


def swagger_files() -> StaticFiles:
    """Swagger UI's files, from the package fastapi-offline."""
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    return StaticFiles(directory=Path(package.origin).parent / "static")


def static_files() -> StaticFiles:
    """The page's files; browsers revalidate them on every load."""
    return _Fresh(directory=HERE)


class _Fresh(StaticFiles):
    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response
