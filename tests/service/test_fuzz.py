"""Generated requests, good and bad, against the description of V2 (v2.yaml) and against our own: whatever is sent, no
500, and every refusal in the shape that its callers expect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.service.refusals import LEAKS
from tests.service.server import Server

ADMIN_KEY = "fuzz"
DIGIT = [[0] * 28] * 28
FEW = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=150)


@pytest.fixture(scope="module")
def running(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    feedback = tmp_path_factory.mktemp("fuzz") / "feedback.sqlite"
    with Server(models_dir, feedback_path=feedback, admin_key=ADMIN_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def protocol(running: Server) -> Any:
    schema = schemathesis.openapi.from_path(Path(__file__).parent / "v2.yaml")
    schema.config.update(base_url=running.url)
    return schema


@pytest.fixture(scope="module")
def ours(running: Server) -> Any:
    schema = schemathesis.openapi.from_dict(running.client.get("/openapi.json").json())
    schema.config.update(base_url=running.url)
    return schema


v2 = schemathesis.pytest.from_fixture("protocol")
own = schemathesis.pytest.from_fixture("ours")


@v2.parametrize()
@MANY
def test_v2(case: Any) -> None:
    judge(case)


@own.parametrize()
@FEW
def test_ours(case: Any) -> None:
    judge(case)


def judge(case: schemathesis.Case) -> None:
    answer = case.call()
    case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
    if answer.status_code < 400:
        return
    if re.match(r"/v[12](/|$)", case.path):
        assert answer.headers["content-type"] == ["application/json"]
        said = answer.json()
        assert list(said) == ["error"]
        sentence = said["error"]
    elif case.path == "/health/ready":
        sentence = answer.json()["reason"]
    else:
        assert answer.headers["content-type"] == ["application/problem+json"]
        assert answer.json()["status"] == answer.status_code
        sentence = answer.json()["detail"]
    assert re.fullmatch(r"[^\n]{10,}\.", sentence), sentence
    assert not LEAKS.search(answer.content)
