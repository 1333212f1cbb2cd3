"""/v2/...: the Open Inference Protocol, as Triton and KServe speak it. Every refusal is {"error": sentence}."""

from fastapi import APIRouter

from service.routes.v2 import health, metadata, repository, statistics
from service.routes.v2.infer import PATTERN, ROUTE, Infer
from service.routes.v2.infer import router as infer_router
from service.routes.v2.schemas import REFUSED

__all__ = ["PATTERN", "ROUTE", "Infer", "router"]


def router(infer: Infer) -> APIRouter:
    """All calls of the protocol. `statistics` comes before `metadata`, whose {model} would match /v2/models/stats."""
    routes = APIRouter(tags=["open inference protocol"], responses=REFUSED)
    for part in (infer_router(infer), health.router, statistics.router, metadata.router, repository.router):
        routes.include_router(part)
    return routes
