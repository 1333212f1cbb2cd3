"""/v2/...: the Open Inference Protocol over HTTP, with Triton's extensions. Errors are {"error": "<sentence>"}."""

from fastapi import APIRouter

from service.openinference.http import health, metadata, repository, statistics
from service.openinference.http.infer import PATTERN, ROUTE, Infer
from service.openinference.http.infer import router as infer_router
from service.openinference.http.schemas import ERRORS

__all__ = ["PATTERN", "ROUTE", "Infer", "router"]


def router(infer: Infer) -> APIRouter:
    """All routes of the protocol. `statistics` comes before `metadata`, whose {model} would match /v2/models/stats."""
    routes = APIRouter(tags=["open inference protocol"], responses=ERRORS)
    for part in (infer_router(infer), health.router, statistics.router, metadata.router, repository.router):
        routes.include_router(part)
    return routes
