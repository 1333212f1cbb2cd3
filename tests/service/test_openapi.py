"""The OpenAPI document is complete: every route, its bodies, and every error status."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from service.inputs.decoder import DECODERS
from tests.support.asgi import call
from tests.support.refusals import REFUSALS
from tests.support.server import Server


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    answer = call(app, "GET", "/openapi.json")
    assert answer.status == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/predict"),
        ("get", "/model"),
        ("get", "/models"),
        ("get", "/models/{name}"),
        ("get", "/models/{name}/versions/{version}"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
    ],
)
def test_every_promised_call_is_there(document: dict[str, Any], method: str, path: str) -> None:
    assert document["paths"][path][method]["summary"]


def test_predict_takes_every_form(document: dict[str, Any]) -> None:
    body = document["paths"]["/predict"]["post"]["requestBody"]
    assert body["required"]
    kinds = set(body["content"])
    assert kinds >= {*DECODERS, "multipart/form-data"}
    assert kinds >= {f"image/{kind}" for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")}
    digit = body["content"]["application/json"]["schema"]["properties"]["instances"]["items"]
    assert {form["minItems"] for form in digit["oneOf"]} == {28, 784}


def test_every_json_body_of_our_own_calls_rejects_unknown_fields(document: dict[str, Any]) -> None:
    schemas, found = document["components"]["schemas"], []
    for path, _, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body and not path.startswith(("/v1", "/v2")):
            reference = body["schema"].get("$ref", "").rpartition("/")[2]
            assert schemas.get(reference, body["schema"])["additionalProperties"] is False, path
            found.append(path)
    assert set(found) == {"/predict", "/feedback"}


def test_predict_names_every_status_that_it_gives(document: dict[str, Any]) -> None:
    documented = {int(status) for status in document["paths"]["/predict"]["post"]["responses"]}
    given = {status for refusal in REFUSALS if isinstance(status := refusal.status, int)} - {405}
    assert documented >= given | {200, 408, 503}
    assert set(document["paths"]["/predict"]["post"]["responses"]["200"]["content"]) == {"application/json", "text/csv"}


def test_every_error_status_is_documented_as_a_problem_document(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if path.startswith(("/v1", "/v2", "/health")):
            continue
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (method, path, status)


def test_every_call_has_a_summary_and_every_parameter_a_description(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation.get("summary"), (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])


def test_operation_ids_differ(document: dict[str, Any]) -> None:
    """Clients are generated from them."""
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_answers_are_as_documented(document: dict[str, Any], app: FastAPI) -> None:
    prediction = document["components"]["schemas"]["Prediction"]
    answer = call(app, body=bytes(784), headers={"Content-Type": "application/octet-stream"}).json()
    assert set(answer["predictions"][0]) == set(prediction["properties"]) == set(prediction["required"])


def test_docs_are_served(server: Server) -> None:
    answer = server.client.get("/docs")
    assert answer.status_code == 200
    assert "openapi.json" in answer.text
    assert server.client.get("/openapi.json").json()["info"]["title"] == "Digit Recognizer"
