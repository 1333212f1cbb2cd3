"""GET /v2, /v2/models/{model}[/versions/{version}] and …/config: what the server and the models are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service import __version__
from service.engine.engine import Engine
from service.engine.model import LECTURE_OUTPUT
from service.engine.resolve import answering, resolve_version
from service.http.deps import EngineDep, SettingsDep
from service.openinference.http.infer import outputs_of
from service.openinference.http.schemas import ModelMetadata, ModelName, ModelVersion, ServerMetadata, errors
from service.repository.triton_config import complete, config
from service.settings import Settings

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
PLATFORM = "onnx_onnxv1"
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}
OUTPUT_SHAPES = {"probabilities": [-1, 10], LECTURE_OUTPUT: [-1, 10, 10, 1]}

router = APIRouter(responses=errors(404, 503))


@router.get("/v2", response_model=ServerMetadata, summary="The server")
@router.get("/v2/", response_model=ServerMetadata, include_in_schema=False)
async def server() -> dict[str, Any]:
    return {"name": "digit-recognizer", "version": __version__, "extensions": EXTENSIONS}


@router.get("/v2/models/{model}", response_model=ModelMetadata, summary="A model")
async def model(engine: EngineDep, model: ModelName) -> dict[str, Any]:
    """Inputs, outputs and the versions that answer. Beside `pixels`, pictures are taken as `image`: see infer."""
    return _metadata(engine, model, "")


@router.get("/v2/models/{model}/versions/{version}", response_model=ModelMetadata, summary="A version of a model")
async def version(engine: EngineDep, model: ModelName, version: ModelVersion) -> dict[str, Any]:
    return _metadata(engine, model, version)


@router.get("/v2/models/{model}/config", summary="A model's configuration")
async def model_config(engine: EngineDep, settings: SettingsDep, model: ModelName) -> dict[str, Any]:
    """In the form of Triton's model configuration."""
    return _config(engine, settings, model, "")


@router.get("/v2/models/{model}/versions/{version}/config", summary="A version's configuration")
async def version_config(
    engine: EngineDep, settings: SettingsDep, model: ModelName, version: ModelVersion
) -> dict[str, Any]:
    return _config(engine, settings, model, version)


def _metadata(engine: Engine, model: str, version: str) -> dict[str, Any]:
    served = resolve_version(engine, model, version)
    return {
        "name": served.name,
        "versions": _versions(engine, model),
        "platform": PLATFORM,
        "inputs": [PIXELS],
        "outputs": [{"name": name, "datatype": "FP32", "shape": OUTPUT_SHAPES[name]} for name in outputs_of(served)],
    }


def _config(engine: Engine, settings: Settings, model: str, version: str) -> dict[str, Any]:
    served = resolve_version(engine, model, version)
    versions = sorted(one.version for one in answering(engine, model).values())
    told = config(served.name, versions, outputs_of(served), most_rows=settings.max_instances)
    return complete(told, served.model.provider)


def _versions(engine: Engine, model: str) -> list[str]:
    return [str(version) for version in sorted(served.version for served in answering(engine, model).values())]
