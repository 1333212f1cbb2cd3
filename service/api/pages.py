"""GET / (the web page) and GET /docs. Both work offline, since a lecture hall may have no network, and under any path
at which a proxy serves them, since every link is relative.

Browsers ask for text/html. A client that asks GET / for anything else is a program, such as KServe's client of its V1
protocol, and gets {"status": "alive"}.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse, JSONResponse, Response

from service.http.negotiation import preferred

VARY = {"Vary": "Accept"}
HERE = Path(__file__).parent.parent / "static"
# Of what a page may do, only what ours do: no code, style or form but its own, and no frame of another page around it
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """The web page: draw a digit or drop a picture, and see the prediction. To programs, KServe's V1 answer: alive."""
    accept = ",".join(request.headers.getlist("accept"))
    if preferred(accept, ("application/json", "text/html")) == "text/html":
        return FileResponse(HERE / "index.html", headers=PAGE | VARY)
    return JSONResponse({"status": "alive"}, headers=VARY)


@router.get("/docs")
async def docs() -> Response:
    """Swagger UI, loaded from this service and not from a CDN."""
    return FileResponse(HERE / "docs.html", headers=PAGE)


def swagger_files() -> StaticFiles:
    """Swagger UI's files, from the package fastapi-offline."""
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    return _Files(directory=Path(package.origin).parent / "static")


def static_files() -> StaticFiles:
    """The page's files; browsers revalidate them on every load."""
    return _Fresh(directory=HERE)


class _Files(StaticFiles):
    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers.update(PAGE)
        return response


class _Fresh(_Files):
    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response
