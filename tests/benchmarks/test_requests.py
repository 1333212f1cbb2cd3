"""What the harness sends and how it reads answers, tried on the service in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from benchmarks.harness import contenders, workloads
from benchmarks.harness.digits import digits
from benchmarks.harness.forms import Form, predictions
from benchmarks.harness.reference import Reference
from service.app import create_app
from service.settings import Settings
from tests.support.asgi import Answer, call

MODELS = Path(__file__).parents[2] / "models"
OURS = [*dict.fromkeys(contenders.US.forms.values()), contenders.V2_JSON, contenders.V2_BINARY]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(
        Settings(models_dir=MODELS, feedback_path=tmp_path_factory.mktemp("feedback") / "feedback.sqlite")
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.current(MODELS, "digits")


def ask(app: FastAPI, form: Form, count: int) -> Answer:
    body, headers = form.encode(digits(count))
    return call(app, path=form.path, body=body, headers=headers)


@pytest.mark.parametrize("form", OURS, ids=lambda form: form.name)
@pytest.mark.parametrize("count", [1, 3])
def test_the_service_answers_every_form_rightly(app: FastAPI, reference: Reference, form: Form, count: int) -> None:
    if form.name == "PNG":
        count = 1  # a picture is one digit
    answer = ask(app, form, count)
    assert answer.status == 200
    headers = {name.title(): value for name, value in answer.headers.items()}
    assert reference.is_right(form.decode(answer.body, headers), digits(count))


def test_the_ceiling_answers_as_much_as_the_service(app: FastAPI, reference: Reference) -> None:
    assert len(ask(app, contenders.US.forms["json"], 1).body) == reference.answer_bytes


def test_a_wrong_answer_is_found(reference: Reference) -> None:
    right = reference.expected(digits(3))
    assert reference.is_right(right, digits(3))
    assert not reference.is_right(right + 2e-4, digits(3))
    assert not reference.is_right(right[:2], digits(3))
    assert not reference.is_right(right[:, ::-1], digits(3))


def test_an_answer_that_contradicts_itself_is_refused() -> None:
    row = b'{"digit": 1, "confidence": 1, "probabilities": [1,0,0,0,0,0,0,0,0,0]}'
    with pytest.raises(ValueError, match="most probable"):
        predictions(b'{"predictions": [' + row + b"]}", {})


def test_every_contender_takes_the_workloads_that_it_has_a_form_for() -> None:
    kinds = {workload.kind for workload in workloads.WORKLOADS}
    assert all(set(contender.forms) <= kinds for contender in contenders.ALL)
    assert all("json" in contender.forms for contender in contenders.ALL)


def test_a_quick_run_leaves_out_16_connections_of_three() -> None:
    full, quick = (workloads.chosen(["json", "256"], quick) for quick in (False, True))
    assert [connections for _, connections in full] == [1, 16, 64, 16]
    assert [connections for _, connections in quick] == [1, 64, 16]
