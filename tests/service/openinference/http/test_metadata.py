"""Metadata, configuration and readiness over HTTP, by number and by label."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service import __version__
from service.app import create_app
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from tests.support.asgi import Answer, call
from tests.support.models import digits, publish
from tests.support.v2 import check_error, classes, document, outputs, publish_with_lecture_output, tensor

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

MODEL = "/v2/models/digits"


def get(app: FastAPI, path: str) -> Answer:
    return call(app, "GET", path)


def good(app: FastAPI, path: str) -> Any:
    answer = get(app, path)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


# -- the server and a model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server(app: FastAPI, path: str) -> None:
    found = good(app, path)
    assert found["name"] == "digit-recognizer"
    assert found["version"] == __version__
    assert set(found["extensions"]) == {
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "statistics",
    }


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/2/ready"])
def test_health(app: FastAPI, path: str) -> None:
    found = good(app, path)
    assert found[path.rpartition("/")[2]] is True


def test_a_draining_service_is_not_ready(models_dir: Path) -> None:
    app = create_app(Settings(models_dir=models_dir, feedback_path=models_dir / "f.sqlite"))
    app.state.context.drain.leaving = True
    answer = get(app, "/v2/health/ready")
    check_error(answer.status, answer.headers, answer.body, 503)
    assert get(app, "/v2/health/live").status == 200


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/2", f"{MODEL}/versions/stable"])
def test_a_model(app: FastAPI, path: str) -> None:
    assert good(app, path) == {
        "name": "digits",
        "versions": ["2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/2"])
def test_the_configuration(app: FastAPI, path: str) -> None:
    found = good(app, f"{path}/config")
    assert found["name"] == "digits"
    assert found["platform"] == "onnxruntime_onnx"
    assert found["max_batch_size"] == app.state.context.settings.max_instances
    assert found["version_policy"] == {"specific": {"versions": [2]}}
    assert [(one["name"], one["data_type"], one["dims"]) for one in found["input"]] == [
        ("pixels", "TYPE_UINT8", [28, 28, 1])
    ]
    assert [(one["name"], one["data_type"], one["dims"]) for one in found["output"]] == [
        ("probabilities", "TYPE_FP32", [10])
    ]
    assert found["dynamic_batching"]["max_queue_delay_microseconds"] == 0


def test_a_model_with_the_lecture_s_output(tmp_path: Path) -> None:
    publish_with_lecture_output(tmp_path)
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    told = good(app, MODEL)["outputs"]
    assert [(one["name"], one["shape"]) for one in told] == [
        ("probabilities", [-1, 10]),
        ("lecture_output", [-1, 10, 10, 1]),
    ]
    configured = good(app, f"{MODEL}/config")["output"]
    assert [(one["name"], one["dims"]) for one in configured] == [
        ("probabilities", [10]),
        ("lecture_output", [10, 10, 1]),
    ]
    answered = call(app, path=f"{MODEL}/infer", body=document(tensor(digits(1, 2))))
    found = outputs(answered.body, answered.headers)
    for one in told:
        assert (found[one["name"]].datatype, found[one["name"]].shape[1:]) == (one["datatype"], one["shape"][1:])


# -- what is not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["", "/ready", "/config", "/stats", "/infer"])
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("/v2/models/nothing", "served: digits, shifted"),
        ("/v2/models/..%2Fdigits", "served: digits, shifted"),
        ("/v2/models/%F0%9F%99%82", "served: digits, shifted"),
        (f"/v2/models/{'x' * 3000}", "served: digits, shifted"),
        (f"{MODEL}/versions/1", "2 (stable)"),  # published, and not served
        (f"{MODEL}/versions/99", "2 (stable)"),
        (f"{MODEL}/versions/02", "2 (stable)"),
        (f"{MODEL}/versions/-2", "2 (stable)"),
        (f"{MODEL}/versions/2.0", "2 (stable)"),
        (f"{MODEL}/versions/x", "2 (stable)"),
        (f"{MODEL}/versions/canary", "2 (stable)"),
        (f"{MODEL}/versions/{'9' * 3000}", "2 (stable)"),
        (f"{MODEL}/versions/%0A", "2 (stable)"),
    ],
)
def test_an_unknown_model_is_404_and_the_error_lists_the_served_ones(
    app: FastAPI, model: str, rest: str, says: str
) -> None:
    answer = call(app, "POST" if rest == "/infer" else "GET", model + rest)
    check_error(answer.status, answer.headers, answer.body, 404, says if "%2F" not in model else "")


@pytest.mark.parametrize("path", ["/v2/nothing", "/v2/models", f"{MODEL}/nothing", "/v2/health", f"{MODEL}/versions"])
def test_calls_that_there_are_not(app: FastAPI, path: str) -> None:
    answer = get(app, path)
    check_error(answer.status, answer.headers, answer.body, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"),
        *(MODEL + rest for rest in ("", "/ready", "/config", "/stats", "/versions/2", "/versions/2/config")),
    ],
)
def test_another_method(app: FastAPI, method: str, path: str) -> None:
    answer = call(app, method, path)
    check_error(answer.status, answer.headers, answer.body, 405, "GET")
    assert answer.headers["allow"] == "GET"


def test_every_call_is_documented(app: FastAPI) -> None:
    described = {path: item for path, item in app.openapi()["paths"].items() if path.startswith("/v2")}
    of_model = ["", "/ready", "/config", "/stats", "/infer"]
    assert set(described) == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/stats",
        *(f"/v2/models/{{model}}{rest}" for rest in of_model),
        *(f"/v2/models/{{model}}/versions/{{version}}{rest}" for rest in of_model),
        "/v2/repository/index",
        "/v2/repository/models/{model}/load",
        "/v2/repository/models/{model}/unload",
    }
    for path, item in described.items():
        for call_ in item.values():
            assert call_["tags"] == ["open inference protocol"], path
            assert call_["summary"], path
            assert "422" not in call_["responses"], path


# -- versions and labels ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trying(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Version 1, which answers one higher, is served; 2, two higher, is a canary for half of all; 3 is published."""
    root = tmp_path_factory.mktemp("trying")
    for shift in (1, 2, 3):
        publish(root, shift=shift, promote=shift == 1)
    RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=50, min_digits=10**9, max_disagreement=1))
    app = create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite"))
    asyncio.run(app.state.context.watcher.look())
    return app


def answered(app: FastAPI, version: str, request_id: str = "") -> tuple[str, int]:
    """Which version answered for digit 0, and its answer."""
    path = f"{MODEL}/versions/{version}/infer" if version else f"{MODEL}/infer"
    headers = {"X-Request-Id": request_id} if request_id else {}
    answer = call(app, path=path, body=document(tensor(digits(0))), headers=headers)
    assert answer.status == 200, answer.body
    return answer.json()["model_version"], classes(answer.body, answer.headers)[0]


@pytest.mark.parametrize(
    ("version", "answer"), [("1", ("1", 1)), ("stable", ("1", 1)), ("2", ("2", 2)), ("canary", ("2", 2))]
)
def test_a_version_answers_by_number_and_by_label(trying: FastAPI, version: str, answer: tuple[str, int]) -> None:
    assert {answered(trying, version, str(i)) for i in range(20)} == {answer}
    assert good(trying, f"{MODEL}/versions/{version}/ready")["ready"] is True
    assert good(trying, f"{MODEL}/versions/{version}")["name"] == "digits"
    assert good(trying, f"{MODEL}/versions/{version}/config")["name"] == "digits"
    [stats] = good(trying, f"{MODEL}/versions/{version}/stats")["model_stats"]
    assert stats["version"] == answer[0]


def test_without_a_version_the_canary_answers_its_share(trying: FastAPI) -> None:
    found = [answered(trying, "", f"request-{i}") for i in range(100)]
    assert set(found) == {("1", 1), ("2", 2)}
    assert found == [answered(trying, "", f"request-{i}") for i in range(100)]  # a caller can pin it by his id
    counts = trying.state.context.engine.rollout("digits").counts()
    assert counts["requests"] == 2 * found.count(("2", 2))


def test_metadata_list_every_version_that_answers(trying: FastAPI) -> None:
    assert good(trying, MODEL)["versions"] == ["1", "2"]
    assert good(trying, f"{MODEL}/config")["version_policy"] == {"specific": {"versions": [1, 2]}}
    assert [one["version"] for one in good(trying, f"{MODEL}/stats")["model_stats"]] == ["1", "2"]
    for version in ("3", "canary2"):
        refused = get(trying, f"{MODEL}/versions/{version}")
        check_error(refused.status, refused.headers, refused.body, 404, "1 (stable) and 2 (canary)")


def test_a_shadow_answers_nobody_by_any_name(tmp_path: Path) -> None:
    for shift in (1, 2):
        publish(tmp_path, shift=shift, promote=shift == 1)
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, shadow=True))
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    asyncio.run(app.state.context.watcher.look())
    assert app.state.context.engine.rollout("digits").candidate.version == 2
    assert answered(app, "") == answered(app, "stable") == ("1", 1)
    assert good(app, MODEL)["versions"] == ["1"]
    for version in ("canary", "2"):
        for path in (f"{MODEL}/versions/{version}", f"{MODEL}/versions/{version}/ready"):
            assert get(app, path).status == 404, path
        refused = call(app, path=f"{MODEL}/versions/{version}/infer", body=b"{}")
        check_error(refused.status, refused.headers, refused.body, 404, "1 (stable)")
    assert get(app, "/v1/models/digits/labels/canary").status == 404
    assert good(app, "/models/digits")["labels"] == {"stable": 1}
    assert good(app, "/models/digits")["trial"]["shadow"] is True


def test_labels_are_of_the_repository(trying: FastAPI) -> None:
    repository = trying.state.context.engine.repository
    assert repository.labels("digits") == {"stable": 1, "canary": 2}
    assert repository.labels("nothing") == {}
    assert good(trying, "/models/digits")["labels"] == {"stable": 1, "canary": 2}


def test_a_canary_without_the_lecture_s_output_leaves_those_requests_to_the_stable_version(tmp_path: Path) -> None:
    publish_with_lecture_output(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    RepositoryWriter(tmp_path).start_rollout(
        "digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1)
    )
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    asyncio.run(app.state.context.watcher.look())
    named = [{"name": "probabilities"}, {"name": "lecture_output"}]
    both = call(app, path=f"{MODEL}/infer", body=document(tensor(digits(0)), outputs=named))
    assert both.json()["model_version"] == "1"
    assert list(outputs(both.body, both.headers)) == ["probabilities", "lecture_output"]
    whatever_there_is = call(app, path=f"{MODEL}/infer", body=document(tensor(digits(0))))
    assert whatever_there_is.json()["model_version"] == "2"
    assert list(outputs(whatever_there_is.body, whatever_there_is.headers)) == ["probabilities"]
    one = call(app, path=f"{MODEL}/infer", body=document(tensor(digits(0)), outputs=[{"name": "probabilities"}]))
    assert one.json()["model_version"] == "2"
    its_own = call(app, path=f"{MODEL}/versions/canary/infer", body=document(tensor(digits(0))))
    assert list(outputs(its_own.body, its_own.headers)) == ["probabilities"]


def test_a_canary_with_the_lecture_s_output_gives_it(tmp_path: Path) -> None:
    publish_with_lecture_output(tmp_path)
    publish_with_lecture_output(tmp_path, shift=1, promote=False)
    RepositoryWriter(tmp_path).start_rollout(
        "digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1)
    )
    app = create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "f.sqlite"))
    asyncio.run(app.state.context.watcher.look())
    answer = call(app, path=f"{MODEL}/infer", body=document(tensor(digits(0))))
    assert answer.json()["model_version"] == "2"
    cells = outputs(answer.body, answer.headers)["lecture_output"].values
    assert cells.reshape(10, 10).sum(axis=1).argmax() == 1
