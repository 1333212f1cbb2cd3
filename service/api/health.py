"""GET /health/live and /health/ready: liveness and readiness probes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from service.api.schemas import Live, Ready
from service.errors import DigitsError
from service.http.deps import ContextDep

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", response_model=Live, summary="Liveness probe")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get(
    "/ready",
    response_model=Ready,
    summary="Readiness probe",
    responses={503: {"model": Ready, "description": "Not ready; `reason` says why"}},
)
async def ready(context: ContextDep) -> JSONResponse:
    """200 if the default model is loaded and the service is not draining; otherwise 503 with the reason."""
    engine = context.engine
    if context.stopping():
        return JSONResponse({"status": "not ready", "reason": "draining: the service is stopping"}, 503)
    try:
        served = engine.served()
    except DigitsError as error:
        return JSONResponse({"status": "not ready", "reason": str(error)}, 503)
    model = {"name": served.name, "version": served.version}
    content: dict[str, Any] = {"status": "ready", "model": model, "provider": served.model.provider}
    content |= {"refused": engine.refused, "models_folder": engine.trouble or context.volume.trouble or None}
    return JSONResponse(content)
