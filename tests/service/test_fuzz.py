"""Generated requests, good and bad, against the description of V2 (v2.yaml) and against our own: whatever is sent, no
500, and every refusal in the shape that its callers expect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.support.refusals import LEAKS
from tests.support.server import Server

pytestmark = pytest.mark.slow
ADMIN_KEY = "a key for the fuzz"
EXAMPLES = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
CHECKS = [not_a_server_error, response_schema_conformance]


@pytest.fixture(scope="module")
def running(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    feedback = tmp_path_factory.mktemp("fuzz") / "feedback.sqlite"
    with Server(models_dir, feedback_path=feedback, admin_key=ADMIN_KEY) as server:
        yield server


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_v2(running: Server, mode: GenerationMode) -> None:
    fuzz(running, schemathesis.openapi.from_path(Path(__file__).parents[1] / "support/v2.yaml"), mode, 30)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_ours(running: Server, mode: GenerationMode) -> None:
    fuzz(running, schemathesis.openapi.from_dict(running.client.get("/openapi.json").json()), mode, 8)


def fuzz(running: Server, schema: Any, mode: GenerationMode, examples: int) -> None:
    """So many requests to every operation that has a body, a few good ones to the others.

    Under /v1 a few do: digits by the hundred numbers take long to make up.
    """
    operations = [result.ok() for result in schema.get_all_operations()]
    assert operations
    with requests.Session() as session:
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # any text may stand in a path: there is nothing bad to make of it

            @settings(EXAMPLES, max_examples=examples if operation.body and "/v1/" not in operation.path else 4)
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: schemathesis.Case) -> None:
                judge(case, running.url, session)

            run()


def judge(case: schemathesis.Case, url: str, session: requests.Session) -> None:
    answer = case.call(base_url=url, session=session)
    case.validate_response(answer, checks=CHECKS)
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
    assert re.fullmatch(r"[^\n]{10,}", sentence), sentence
    assert not LEAKS.search(answer.content)
