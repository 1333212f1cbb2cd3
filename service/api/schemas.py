"""JSON bodies of our own API as pydantic models: documented by /docs, and returned by all but the fastest routes."""

from __future__ import annotations

import re
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.inputs.decoder import SCHEMAS
from service.inputs.json import reject_unknown_fields

PROBLEMS = {
    400: "Malformed: no body, not JSON, a truncated picture, a number of bytes that is not a multiple of 784",
    404: "No such model, or no such version of it",
    401: "A key is missing, or is wrong, revoked or expired",
    403: "The key has not the scope for this, admin calls are off, or the page of another origin calls",
    408: "The body arrived too slowly",
    409: "The version cannot be promoted; `detail` says why",
    413: "Body, picture or number of digits over a limit",
    415: "A Content-Type or a picture format that is not supported",
    422: "Well-formed, but a wrong value; `field` is its path in the request",
    429: "A limit per client is reached; try again after Retry-After seconds",
    507: "The feedback file is full",
    503: "Overloaded, shutting down or without a model; try again after Retry-After seconds",
    504: "A run of the model took too long",
}


class RequestBody(BaseModel):
    """Base of the JSON bodies that callers send: unknown fields are rejected, with a sentence that lists the known."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, body: Any) -> Any:
        if isinstance(body, dict):
            reject_unknown_fields(body, tuple(cls.model_fields))
        return body


class ModelName(BaseModel):
    """The model and the version that made the predictions."""

    name: str
    version: int


class Prediction(BaseModel):
    """One digit: the class, its probability, and the probability of every class."""

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1)
    probabilities: list[float] = Field(min_length=10, max_length=10)


class Predictions(BaseModel):
    """Predictions in the order of the digits in the request."""

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
    """The card of one version as published, with its table of layers."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: int
    summary: str = ""


class ServedCard(ModelCard):
    """The card of the version that this process serves, and how it is served."""

    provider: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


class ModelVersions(BaseModel):
    """One model: the version this process serves, the promoted version (`current`), and all published versions."""

    name: str
    version: int | None
    current: int | None
    versions: list[int]
    refused: str | None = Field(
        None, description="Why the promoted version is not served, or what in its folder cannot be read."
    )


class Worker(BaseModel):
    """One worker process and the version it serves."""

    pid: int
    version: int | None
    refused: str | None = Field(description="Why this worker does not serve the promoted version.")


class Rollout(BaseModel):
    """The running rollout (canary or shadow), with its counts over all workers."""

    version: int
    percent: float
    shadow: bool
    requests: int
    errors: int
    compared: int
    disagreed: int


class ModelDetail(ModelVersions):
    labels: dict[str, int] = Field(
        description="`stable` and, during a canary rollout, `canary`: accepted in place of a version."
    )
    workers: list[Worker]
    trial: Rollout | None
    last_trial: dict[str, Any] | None


class Promoted(BaseModel):
    """`version`: what this worker serves now, null if the model is unloaded. `current`: the promoted version, which the
    other workers serve within 2 seconds.
    """

    name: str
    version: int | None
    current: int


class ModelList(BaseModel):
    models: list[ModelVersions]


class Live(BaseModel):
    status: str = "live"


class Ready(BaseModel):
    """`status` is "ready" or "not ready"; if not, `reason` says why."""

    status: str
    model: ModelName | None = None
    provider: str | None = None
    reason: str | None = None
    refused: dict[str, str] = Field({}, description="Models whose promoted version is not served, with the reason.")
    models_folder: str | None = Field(
        None, description="Why the models folder cannot be read now; the versions in memory serve on."
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for error responses."""
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": PROBLEMS[status], "content": schema} for status in statuses}


def operation_id(route: APIRoute) -> str:
    """The name that generated clients give to a call: get_models_name for GET /models/{name}."""
    return "_".join([min(route.methods or ("get",)).lower(), *re.findall(r"\w+", route.path_format)])


PREDICT_OK: dict[str, Any] = {
    "content": {"text/csv": {"schema": {"type": "string"}}},
    "headers": {"x-request-id": {"description": "Identifies the prediction.", "schema": {"type": "string"}}},
    "links": {
        "correct": {
            "operationId": "post_feedback",
            "requestBody": {"request_id": "$response.header.x-request-id", "label": 3},
            "description": "Say what a digit of this request really is.",
        }
    },
}
PREDICT_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {media_type: {"schema": schema} for media_type, schema in SCHEMAS.items()},
    },
}
