"""Metadata of the server and the models, and Triton's model configuration."""

from __future__ import annotations

from typing import Any

from service import __version__
from service.context import Context
from service.engine.engine import Engine
from service.engine.model import LECTURE_OUTPUT
from service.engine.resolve import answering, resolve_version
from service.openinference.inference import outputs_of
from service.repository.triton_config import complete, config

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
PLATFORM = "onnx_onnxv1"
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}
OUTPUT_SHAPES = {"probabilities": [-1, 10], LECTURE_OUTPUT: [-1, 10, 10, 1]}


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of this server."""
    return {"name": "digit-recognizer", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(engine: Engine, model: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a version, and all served versions of its model. Raises NoSuchModel or Unavailable."""
    served = resolve_version(engine, model, version)
    return {
        "name": served.name,
        "versions": [str(number) for number in _versions(engine, model)],
        "platform": PLATFORM,
        "inputs": [PIXELS],
        "outputs": [{"name": name, "datatype": "FP32", "shape": OUTPUT_SHAPES[name]} for name in outputs_of(served)],
    }


def model_config(context: Context, model: str, version: str = "") -> dict[str, Any]:
    """Triton's model configuration for a version. Raises NoSuchModel or Unavailable."""
    served = resolve_version(context.engine, model, version)
    versions = _versions(context.engine, model)
    written = config(served.name, versions, outputs_of(served), most_rows=context.settings.max_instances)
    return complete(written, served.model.provider)


def _versions(engine: Engine, model: str) -> list[int]:
    return sorted(served.version for served in answering(engine, model).values())
