"""GET /v2, /v2/models/{model}[/versions/{version}] and …/config: metadata and configuration."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.http.deps import ContextDep, EngineDep
from service.openinference.http.schemas import ModelMetadata, ModelName, ModelVersion, ServerMetadata, errors
from service.openinference.metadata import model_config, model_metadata, server_metadata

router = APIRouter(responses=errors(404, 503))


@router.get("/v2", response_model=ServerMetadata, summary="Metadata of the server")
@router.get("/v2/", response_model=ServerMetadata, include_in_schema=False)
async def server() -> dict[str, Any]:
    return server_metadata()


@router.get("/v2/models/{model}", response_model=ModelMetadata, summary="Metadata of a model")
async def model(engine: EngineDep, model: ModelName) -> dict[str, Any]:
    """Inputs, outputs and served versions. The input `image` (see infer) is not listed."""
    return model_metadata(engine, model)


@router.get("/v2/models/{model}/versions/{version}", response_model=ModelMetadata, summary="Metadata of a version")
async def version(engine: EngineDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return model_metadata(engine, model, version)


@router.get("/v2/models/{model}/config", summary="Configuration of a model")
async def config(context: ContextDep, model: ModelName) -> dict[str, Any]:
    """In the form of Triton's model configuration."""
    return model_config(context, model)


@router.get("/v2/models/{model}/versions/{version}/config", summary="Configuration of a version")
async def version_config(context: ContextDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return model_config(context, model, version)
