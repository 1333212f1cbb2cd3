"""GET /v2, /v2/models/{model}[/versions/{version}] and …/config: what the server and the models are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.http.deps import ContextDep, EngineDep
from service.openinference.http.schemas import ModelMetadata, ModelName, ModelVersion, ServerMetadata, errors
from service.openinference.metadata import model_config, model_metadata, server_metadata

router = APIRouter(responses=errors(404, 503))


@router.get("/v2", response_model=ServerMetadata, summary="The server")
@router.get("/v2/", response_model=ServerMetadata, include_in_schema=False)
async def server() -> dict[str, Any]:
    return server_metadata()


@router.get("/v2/models/{model}", response_model=ModelMetadata, summary="A model")
async def model(engine: EngineDep, model: ModelName) -> dict[str, Any]:
    """Inputs, outputs and the versions that answer. Beside `pixels`, pictures are taken as `image`: see infer."""
    return model_metadata(engine, model)


@router.get("/v2/models/{model}/versions/{version}", response_model=ModelMetadata, summary="A version of a model")
async def version(engine: EngineDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return model_metadata(engine, model, version)


@router.get("/v2/models/{model}/config", summary="A model's configuration")
async def config(context: ContextDep, model: ModelName) -> dict[str, Any]:
    """In the form of Triton's model configuration."""
    return model_config(context, model)


@router.get("/v2/models/{model}/versions/{version}/config", summary="A version's configuration")
async def version_config(context: ContextDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return model_config(context, model, version)
