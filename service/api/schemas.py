"""JSON of our own API, as pydantic models: what /docs shows and what the slower routes answer with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.inputs.pixels import DIGIT

BINARY = {"schema": {"type": "string", "format": "binary"}}
PROBLEMS = {
    400: "Malformed: no body, not JSON, a truncated picture, bytes that are not a multiple of 784",
    404: "No such model, or no such version of it",
    401: "The admin key is missing",
    403: "The admin key is wrong, or admin calls are off",
    408: "The body came too slowly",
    409: "The version must not be promoted; `detail` says why",
    413: "Body, picture or number of digits over a limit",
    415: "A Content-Type, or a picture, of a kind that is not read here",
    422: "Well-formed, but wrong values; `field` names where",
    507: "The feedback file holds all that it may",
    504: "A run of the model took too long",
    503: "Full, draining or without a model; try again after Retry-After seconds",
}


class ModelName(BaseModel):
    """Which model and which of its versions answered."""

    name: str
    version: int


class Prediction(BaseModel):
    """One digit: the class, its probability, and the probability of every class."""

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1)
    probabilities: list[float] = Field(min_length=10, max_length=10)


class Predictions(BaseModel):
    """Answers in the order of the digits in the request."""

    model: ModelName
    predictions: list[Prediction]


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


class ModelCard(BaseModel):
    """The card of one version (as published), its layer table, and how it is served here."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: int
    summary: str = ""


class ServedCard(ModelCard):
    """The card of the version that is live in this process."""

    provider: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


class ModelVersions(BaseModel):
    """One model: the version that is live here, the one that is promoted, and all that are published."""

    name: str
    version: int | None
    current: int | None
    versions: list[int]


class Worker(BaseModel):
    """One worker process and the version that it serves."""

    pid: int
    version: int | None
    refused: str | None = Field(description="Why the promoted version is not the one it serves.")


class Rollout(BaseModel):
    """A version on trial beside the served one, and what all workers saw so far."""

    version: int
    percent: float
    shadow: bool
    requests: int
    errors: int
    compared: int
    disagreed: int


class ModelDetail(ModelVersions):
    labels: dict[str, int] = Field(description="`stable` and, while one is on trial, `canary`: usable for a version.")
    workers: list[Worker]
    trial: Rollout | None
    last_trial: dict[str, Any] | None


class Promoted(BaseModel):
    """`version` is what this worker serves now, null where the model is unloaded, `current` what is promoted: other
    workers follow within 2 seconds.
    """

    name: str
    version: int | None
    current: int


class ModelList(BaseModel):
    models: list[ModelVersions]


class Live(BaseModel):
    status: str = "live"


class Ready(BaseModel):
    """`status` is "ready" or "not ready"; then `reason` says why."""

    status: str
    model: ModelName | None = None
    provider: str | None = None
    reason: str | None = None
    refused: dict[str, str] = Field({}, description="Promoted versions that are not served, with the reason.")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for refusals."""
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": PROBLEMS[status], "content": schema} for status in statuses}


PREDICT_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["instances"],
                    "properties": {"instances": {"type": "array", "minItems": 1, "items": DIGIT}},
                }
            },
            **{f"image/{kind}": BINARY for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": BINARY,
            "application/x-npy": BINARY,
            "text/csv": {"schema": {"type": "string"}},
        },
    },
}
