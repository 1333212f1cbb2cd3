"""GET /model, /models and below: served and published versions, and 404 for other names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.problems import INTERNAL_ERROR
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from tests.support.asgi import Answer, call
from tests.support.models import classifier, publish, publish_broken
from tests.support.refusals import check_problem
from tests.support.server import Server

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

AXIOS = "application/json, text/plain, */*"


def get(app: FastAPI, path: str, accept: str = "*/*") -> Answer:
    return call(app, "GET", path, headers={"Accept": accept})


def ok(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    return answer.json()


def test_the_served_model(app: FastAPI) -> None:
    card = ok(get(app, "/model"))
    assert (card["name"], card["version"], card["architecture"], card["provider"]) == ("digits", 2, "brightest", "cpu")
    assert card["summary"] == "brightest of ten"
    assert card["parameters"] == 7840
    assert len(card["sha256"]) == 64
    assert card["inputs"] == [{"name": "pixels", "type": "tensor(uint8)", "shape": [-1, 28, 28, 1]}]
    assert card["outputs"][0]["name"] == "probabilities"


def test_all_models(app: FastAPI) -> None:
    digits, shifted = ok(get(app, "/models"))["models"]
    assert digits == {"name": "digits", "version": 2, "current": 2, "versions": [1, 2, 3]}
    assert shifted == {"name": "shifted", "version": 1, "current": 1, "versions": [1]}


def test_one_model(app: FastAPI) -> None:
    detail = ok(get(app, "/models/digits"))
    assert {key: detail[key] for key in ("name", "version", "current", "versions")} == {
        "name": "digits",
        "version": 2,
        "current": 2,
        "versions": [1, 2, 3],
    }


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_published_version_has_its_card(app: FastAPI, version: int) -> None:
    card = ok(get(app, f"/models/digits/versions/{version}"))
    assert (card["name"], card["version"]) == ("digits", version)


@pytest.mark.parametrize("path", ["/model", "/models/digits", "/models/digits/versions/1", "/models/shifted"])
def test_the_table_as_text(app: FastAPI, path: str) -> None:
    answer = get(app, path, "text/plain")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body == b"brightest of ten\n"


@pytest.mark.parametrize(
    "accept", [AXIOS, "*/*", "application/json", "text/html, */*;q=0.8", "text/*;q=0.1, application/json"]
)
@pytest.mark.parametrize("path", ["/model", "/models/digits", "/models/digits/versions/1"])
def test_a_client_that_prefers_json_gets_json(app: FastAPI, path: str, accept: str) -> None:
    """The first of these is the default of axios: it lists text/plain, but after application/json."""
    ok(get(app, path, accept))


@pytest.mark.parametrize(
    "path",
    [
        "/models/letters",
        "/models/.",
        "/models/..",
        "/models/%2e%2e",
        "/models/..%2f..%2fetc",
        "/models/%2fetc%2fpasswd",
        "/models/%00",
        "/models/%D9%A3",
        "/models/" + "x" * 64,
        "/models/digits/versions/4",
        "/models/digits/versions/99999999999999999",
        "/models/letters/versions/1",
        "/models/%2e%2e/versions/1",
        "/models/../versions/1",
        "/models/digits/versions/1/model.onnx",
        "/models/digits/current",
        "/models/digits/1/card.json",
        "/modelss",
        "/predictions",
        "/favicon",
        "/.env",
        "/etc/passwd",
        "/static/../../etc/passwd",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static//etc/passwd",
    ],
)
def test_unknown_models_and_versions_are_404(app: FastAPI, server: Server, path: str) -> None:
    answer = get(app, path)
    assert not answer.body.startswith(b"root:")
    check_problem(answer.status, answer.headers, answer.body.replace(b"/etc", b"").replace(b".py", b""), 404)
    with server.socket() as connection:  # httpx would tidy the path up
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("path", ["/models/" + "x" * 65, "/models/" + "x" * 5000])
def test_a_name_that_is_too_long(app: FastAPI, path: str) -> None:
    answer = get(app, path)
    check_problem(answer.status, answer.headers, answer.body, (404, 422), "path.name" if answer.status == 422 else None)


@pytest.mark.parametrize("version", ["0", "-1", "abc", "1.5", "latest", "%D9%A3", "9" * 19, "9" * 5000, "0x1", "1e0"])
def test_a_version_that_is_no_version(app: FastAPI, version: str) -> None:
    answer = get(app, f"/models/digits/versions/{version}")
    check_problem(
        answer.status, answer.headers, answer.body, (404, 422), "path.version" if answer.status == 422 else None
    )


@pytest.mark.parametrize(
    "path", ["/model", "/models", "/models/digits", "/models/digits/versions/1", "/health/live", "/metrics"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_wrong_methods(app: FastAPI, path: str, method: str) -> None:
    answer = call(app, method, path)
    check_problem(answer.status, answer.headers, answer.body, 405, says="GET")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("call_", ["/models/digits/versions/1/promote", "/models/digits/rollback"])
def test_admin_calls_are_off_without_a_key(app: FastAPI, call_: str) -> None:
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}, {"X-Admin-Key": "None"}):
        answer = call(app, "POST", call_, headers=headers)
        check_problem(answer.status, answer.headers, answer.body, (401, 403))
    assert app.state.context.engine.served().version == 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    publish(root, shift=1)
    publish(root, shift=2, promote=False)
    return root


def made(root: Path) -> FastAPI:
    return create_app(Settings(models_dir=root, feedback_path=root.parent / "feedback.sqlite"))


def test_labels_stand_for_numbers(root: Path) -> None:
    app = made(root)
    assert ok(get(app, "/models/digits/versions/stable"))["version"] == 1
    answer = get(app, "/models/digits/versions/canary")
    check_problem(answer.status, answer.headers, answer.body, 404, says="no canary version")
    RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=5))
    assert ok(get(app, "/models/digits/versions/canary"))["version"] == 2
    assert get(app, "/models/digits/versions/canary", "text/plain").body == b"brightest of ten\n"


def test_promote_takes_no_labels(root: Path) -> None:
    key = {"Authorization": "Bearer open sesame, please"}
    settings = Settings(models_dir=root, feedback_path=root.parent / "f.sqlite", admin_key="open sesame, please")  # type: ignore[arg-type]
    app = create_app(settings)
    RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=5))
    for version in ("canary", "stable", "0", "a\nb"):
        answer = call(app, "POST", f"/models/digits/versions/{quote(version)}/promote", headers=key)
        check_problem(answer.status, answer.headers, answer.body, 422, "path.version", "promote takes no labels")
    assert call(app, "POST", "/models/digits/versions/2/promote", headers=key).status == 200


def test_a_name_of_two_lines_stays_on_one(app: FastAPI) -> None:
    answer = get(app, "/models/a%0Ab")
    check_problem(answer.status, answer.headers, answer.body, 404, says=r"'a\nb'")


def test_what_is_published_later_is_listed_and_not_served_by_itself(root: Path) -> None:
    app = made(root)
    publish(root, shift=3, promote=False)
    assert ok(get(app, "/models/digits"))["versions"] == [1, 2, 3]
    assert ok(get(app, "/models/digits/versions/3"))["version"] == 3
    assert ok(get(app, "/model"))["version"] == 1


def test_current_and_live_may_differ_and_both_are_shown(root: Path) -> None:
    app = made(root)
    RepositoryWriter(root).promote("digits", 2)
    detail = ok(get(app, "/models"))["models"][0]
    assert (detail["version"], detail["current"]) == (1, 2)


def test_models_that_cannot_be_served_are_listed_without_a_live_version(root: Path) -> None:
    publish(root, name="resting", promote=False)
    publish_broken(root, b"no model", name="broken")
    app = made(root)
    listed = {model["name"]: model for model in ok(get(app, "/models"))["models"]}
    assert listed["resting"] == {"name": "resting", "version": None, "current": None, "versions": [1]}
    assert listed["broken"]["version"] is None
    assert ok(get(app, "/models/broken"))["version"] is None
    answer = get(app, "/models/resting", "text/plain")
    assert answer.status in (200, 404)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"\xff", b"{}", b'{"name": 5}', b'{"summary": null}', b'{"metrics": NaN}']
)
def test_a_spoiled_card_spoils_nothing_else(root: Path, content: bytes) -> None:
    app = made(root)
    (root / "digits/2/card.json").write_bytes(content)
    answer = get(app, "/models/digits/versions/2")
    assert answer.status in (200, 404, 409)
    assert answer.status == 200 or answer.headers["content-type"] == "application/problem+json"
    assert INTERNAL_ERROR.encode() not in answer.body
    assert ok(get(app, "/models/digits"))["version"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"summary": None}, {"summary": 5}, {"name": None}, {"version": "two"}, {"provider": "x"}, {"inputs": 3}]
)
def test_a_served_card_that_says_nonsense_is_shown_all_the_same(root: Path, changes: dict[str, Any]) -> None:
    path = root / "digits/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    card = ok(get(made(root), "/model"))
    assert (card["name"], card["version"], card["provider"]) == ("digits", 1, "cpu")


def test_a_long_and_foreign_card_comes_through(root: Path) -> None:
    more = {"authors": ["Müller", "山田"], "history": list(range(10_000)), "note": "\u2028 </script>"}
    publish_broken(
        root, classifier(1), **more, self_test=json.loads((root / "digits/1/card.json").read_text())["self_test"]
    )
    card = ok(get(made(root), "/models/digits/versions/3"))
    assert {key: card[key] for key in more} == more


@pytest.mark.parametrize("path", ["/models/digits/versions/2/promote", "/models/digits/rollback"])
def test_a_read_only_repository_is_reported(root: Path, path: str) -> None:
    settings = Settings(models_dir=root, feedback_path=root.parent / "f.sqlite", admin_key="k" * 16)  # type: ignore[arg-type]
    app = create_app(settings)
    (root / "digits/.lock").unlink()
    (root / "digits/.lock").mkdir()  # what root cannot open for writing either
    answer = call(app, "POST", path, headers={"Authorization": "Bearer " + "k" * 16})
    check_problem(answer.status, answer.headers, answer.body, (409,))
    assert b"cannot be written to" in answer.body
    assert str(root).encode() not in answer.body
