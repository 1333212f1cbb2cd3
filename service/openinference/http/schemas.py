"""OpenAPI descriptions of the Open Inference Protocol, shown at /docs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field

ModelName = Annotated[str, Path(description="The model's name, such as digits.")]
ModelVersion = Annotated[str, Path(description="A version that is served, by number, or `stable` or `canary`.")]

DESCRIPTIONS = {
    400: "Malformed, or with wrong values; `error` names the tensor",
    401: "The admin key is missing",
    403: "The admin key is wrong, or admin calls are off",
    404: "No such model, or no such version of it is served",
    408: "The body arrived too slowly",
    413: "Body or number of digits over a limit",
    415: "Unsupported compression or picture format",
    503: "The queue is full, or the model is unloaded; retry after Retry-After seconds",
}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


ERRORS: dict[int | str, dict[str, Any]] = {  # without it FastAPI documents its own 422, which is never returned here
    "4XX": {"description": "Error; `error` says why", "content": {"application/json": {"schema": ERROR}}}
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for error statuses."""
    content = {"application/json": {"schema": ERROR}}
    return {status: {"description": DESCRIPTIONS[status], "content": content} for status in statuses}


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """Name, datatype and shape of an input or output; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Live(BaseModel):
    live: bool = True


class Ready(BaseModel):
    ready: bool = True


class ModelReady(Ready):
    name: str


class IndexEntry(BaseModel):
    """One published version. `state` is READY or UNAVAILABLE; `reason` says why it is unavailable."""

    name: str
    version: str
    state: str
    reason: str


class IndexRequest(BaseModel):
    ready: bool = Field(False, description="List only served versions.")


class Duration(BaseModel):
    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Per request: queueing, decoding, inference and encoding. A batch's time counts for each request in it."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(BaseModel):
    """Executions with one batch size."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class VersionStatistics(BaseModel):
    """`inference_count` counts digits, `execution_count` runs of the model; `last_inference` is in ms since 1970."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    response_stats: dict[str, Any]
    batch_stats: list[BatchStatistics]
    memory_usage: list[Any]


class ModelStatistics(BaseModel):
    model_stats: list[VersionStatistics]


PARAMETERS = {"type": "object", "additionalProperties": True}
INFER_DESCRIPTION = """One input, either `pixels` or `image`:

* `pixels`, UINT8 of `[n, 28, 28, 1]`, `[n, 28, 28]` or `[n, 784]`: raw 0-255, bright ink on a dark background; data
  flat, or nested as in the shape.
* `image`, BYTES of `[n]` or `[n, 1]`: PNG, JPEG, WebP, BMP, GIF or TIFF files; in JSON each is base64 text.

Outputs: `probabilities`, FP32 `[n, 10]`; `lecture_output`, FP32 `[n, 10, 10, 1]`, if the model has it. Without
`outputs`, all are returned. With the parameter `classification: k`, the k most probable classes are returned, as BYTES
`value:index:label`.

Binary tensor data: send `binary_data_size`, and the bytes after the JSON; `Inference-Header-Content-Length` is the
length of the JSON (0: the whole body is `pixels`). `binary_data` or `binary_data_output` request binary outputs. Bodies
may be compressed with gzip or deflate; answers are compressed as Accept-Encoding asks."""
INFER_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": {"enum": ["pixels", "image"]},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                    "datatype": {"enum": ["UINT8", "BYTES"]},
                    "parameters": PARAMETERS,
                    "data": {"type": "array", "items": {}},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": PARAMETERS},
            },
        },
    },
    "example": {
        "inputs": [{"name": "pixels", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}],
        "outputs": [{"name": "probabilities"}],
    },
}
INFER_RESPONSE = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": {"enum": ["FP32", "BYTES"]},
                    "parameters": PARAMETERS,
                    "data": {"type": "array", "items": {}},
                },
            },
        },
    },
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
INFER_OPENAPI: dict[str, Any] = {
    "description": INFER_DESCRIPTION,
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "required": False,
            "description": "Length of the JSON at the start of a body with binary tensor data.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": INFER_REQUEST}, "application/octet-stream": BINARY},
    },
    "responses": {
        "200": {
            "description": "The outputs",
            "content": {"application/json": {"schema": INFER_RESPONSE}, "application/octet-stream": BINARY},
        }
    },
}
