"""The model repository extension over HTTP: index, load and unload."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.settings import Settings
from service.telemetry.scoreboard import Scoreboard
from tests.support.asgi import Answer, acall, call
from tests.support.asgi import until as turn_until
from tests.support.models import digits, publish, publish_broken
from tests.support.repositories import triton_config
from tests.support.server import Server
from tests.support.v2 import (
    INFER,
    LENGTH,
    answered_by,
    check_error,
    classes,
    document,
    over_a_new_connection,
    tensor,
)

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

KEY = "open sesame, please"
INDEX = "/v2/repository/index"
LOAD, UNLOAD = "/v2/repository/models/digits/load", "/v2/repository/models/digits/unload"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    publish(root)
    publish(root, shift=1, promote=False)
    publish(root, name="other")
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """Version 1 is served; 2, which answers one higher, is published."""
    return Path(shutil.copytree(published, tmp_path / "models"))


@pytest.fixture
def app(root: Path) -> FastAPI:
    return create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite", admin_key=KEY))  # type: ignore[arg-type]


def post(app: FastAPI, path: str, body: Any = b"", key: str = KEY) -> Answer:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return call(app, path=path, body=body if isinstance(body, bytes) else json.dumps(body).encode(), headers=headers)


def infer(app: FastAPI) -> Answer:
    return call(app, path=INFER, body=document(tensor(digits(5))))


def states(answer: Answer) -> dict[tuple[str, str], tuple[str, str]]:
    assert answer.status == 200, answer.body
    assert all(set(one) == {"name", "version", "state", "reason"} for one in answer.json())
    return {(one["name"], one["version"]): (one["state"], one["reason"]) for one in answer.json()}


# -- index ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"ready": false}', b'{"repository_name": "x"}'])
def test_the_index_names_all_that_is_published(app: FastAPI, body: bytes) -> None:
    """Clients usually send an empty body. No key is needed."""
    assert states(post(app, INDEX, body, key="")) == {
        ("digits", "1"): ("READY", ""),
        ("digits", "2"): ("UNAVAILABLE", "another version is promoted"),
        ("other", "1"): ("READY", ""),
    }


def test_the_index_of_what_is_ready(app: FastAPI) -> None:
    assert list(states(post(app, INDEX, {"ready": True}))) == [("digits", "1"), ("other", "1")]


def test_the_index_says_why_a_promoted_version_is_not_served(root: Path) -> None:
    app = create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite"))
    publish_broken(root, b"no model")
    asyncio.run(app.state.context.watcher.look())
    found = states(post(app, INDEX))
    assert found["digits", "1"] == ("READY", "")
    state, reason = found["digits", "3"]
    assert state == "UNAVAILABLE"
    assert reason == app.state.context.engine.refused["digits"]


@pytest.mark.parametrize("body", [b"hello", b"[]", b"5", b'{"ready": 1}', b'{"ready": "yes"}', b"\xff"])
def test_an_index_request_that_is_none(app: FastAPI, body: bytes) -> None:
    answer = post(app, INDEX, body)
    check_error(answer.status, answer.headers, answer.body, 400)


# -- load and unload --------------------------------------------------------------------------------------------


def test_an_unloaded_model_answers_no_more_until_it_is_loaded(app: FastAPI) -> None:
    assert infer(app).status == 200
    for _ in range(2):  # it does no harm to say it twice
        assert post(app, UNLOAD, {"parameters": {"unload_dependents": False}}).status == 200
    for method, path in [("POST", INFER), ("POST", "/predict"), ("GET", "/v2/health/ready"), ("GET", "/health/ready")]:
        assert call(app, method, path, document(tensor(digits(5)))).status in (503, 415), path
    for path in (INFER, "/v2/models/digits/versions/1/infer"):
        refused = call(app, path=path, body=document(tensor(digits(5))))
        check_error(refused.status, refused.headers, refused.body, 503, "unloaded")
        assert refused.headers["retry-after"].isdigit()
    for path in ("", "/ready", "/config", "/stats", "/versions/1/ready"):
        refused = call(app, "GET", f"/v2/models/digits{path}")
        check_error(refused.status, refused.headers, refused.body, 503, "unloaded")
    octets = {"Content-Type": "application/octet-stream"}
    assert call(app, body=digits(5).tobytes(), headers=octets).status == 503
    assert call(app, "GET", "/v2/health/live").status == 200
    assert call(app, "GET", "/v2/models/other/ready").status == 200
    assert call(app, "GET", "/metrics").status == 200
    assert call(app, "GET", "/models/digits").json()["version"] is None
    assert states(post(app, INDEX))["digits", "1"] == ("UNAVAILABLE", "unloaded")
    assert [one["name"] for one in call(app, "GET", "/v2/models/stats").json()["model_stats"]] == ["other"]

    for _ in range(2):
        assert post(app, LOAD, {}).status == 200
    assert infer(app).status == 200
    assert call(app, "GET", "/v2/health/ready").status == call(app, "GET", "/health/ready").status == 200
    assert states(post(app, INDEX))["digits", "1"] == ("READY", "")


def test_requests_in_flight_are_answered(app: FastAPI) -> None:
    async def unload_meanwhile() -> tuple[Answer, int, Answer]:
        many = digits(*[i % 10 for i in range(20_000)]).tobytes()
        big = asyncio.ensure_future(acall(app, path=INFER, body=many, headers={LENGTH: "0"}))
        await turn_until(lambda: app.state.context.engine.admission.rows)
        unloaded = await acall(app, path=UNLOAD, headers={"X-Admin-Key": KEY})
        refused = await acall(app, path=INFER, body=document(tensor(digits(5))))
        return await big, unloaded.status, refused

    big, unloaded, refused = asyncio.run(unload_meanwhile())
    assert (unloaded, refused.status) == (200, 503)
    assert classes(big.body, big.headers) == [i % 10 for i in range(20_000)]


@pytest.mark.slow
def test_looking_at_the_repository_does_not_load_it_again(app: FastAPI, root: Path) -> None:
    assert post(app, UNLOAD).status == 200
    promoted = post(app, "/models/digits/versions/2/promote")
    assert promoted.json() == {"name": "digits", "version": None, "current": 2}
    asyncio.run(app.state.context.watcher.look())
    assert infer(app).status == 503
    assert post(app, LOAD).status == 200
    answer = infer(app)
    assert (answer.json()["model_version"], classes(answer.body, answer.headers)) == ("2", [6])
    promoted = post(app, "/models/digits/versions/1/promote")
    assert promoted.json() == {"name": "digits", "version": 1, "current": 1}


def test_loading_follows_what_is_promoted(app: FastAPI, root: Path) -> None:
    RepositoryWriter(root).promote("digits", 2)
    assert infer(app).json()["model_version"] == "1"
    assert post(app, LOAD).status == 200
    assert infer(app).json()["model_version"] == "2"


def test_unloading_ends_a_trial_and_loading_begins_it_anew(app: FastAPI, root: Path) -> None:
    RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1))
    asyncio.run(app.state.context.watcher.look())
    assert infer(app).json()["model_version"] == "2"
    post(app, UNLOAD)
    assert call(app, "GET", "/v2/models/digits/versions/canary/ready").status == 503
    post(app, LOAD)
    asyncio.run(app.state.context.watcher.look())
    assert infer(app).json()["model_version"] == "2"


def test_a_model_that_must_not_be_served_is_not_loaded(app: FastAPI, root: Path) -> None:
    publish_broken(root, b"no model")
    answer = post(app, LOAD)
    check_error(answer.status, answer.headers, answer.body, 400)
    assert infer(app).status == 200
    post(app, UNLOAD)
    answer = post(app, LOAD)
    check_error(answer.status, answer.headers, answer.body, 400)
    assert infer(app).status == 503
    RepositoryWriter(root).promote("digits", 2)
    assert post(app, LOAD).status == 200
    assert infer(app).json()["model_version"] == "2"


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("name", ["nothing", "..%2Fdigits", "x" * 300, "%0A", ".lock"])
def test_a_model_that_is_not_there(app: FastAPI, verb: str, name: str) -> None:
    answer = post(app, f"/v2/repository/models/{name}/{verb}")
    check_error(answer.status, answer.headers, answer.body, 404, "digits, other" if "%2F" not in name else "")
    assert not app.state.context.engine.refused
    assert not app.state.context.scoreboard.unloaded()


def test_a_model_of_which_nothing_is_promoted(app: FastAPI, root: Path) -> None:
    publish(root, name="new", promote=False)
    answer = post(app, "/v2/repository/models/new/load")
    check_error(answer.status, answer.headers, answer.body, 404, "promote one first")
    RepositoryWriter(root).promote("new", 1)
    assert post(app, "/v2/repository/models/new/load").status == 200
    assert call(app, "GET", "/v2/models/new/ready").status == 200


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 401), ("öpen", 401)])
def test_without_the_key_nothing_happens(app: FastAPI, path: str, key: str, status: int) -> None:
    answer = post(app, path, key=key)
    check_error(answer.status, answer.headers, answer.body, status)
    assert infer(app).status == 200


def test_either_header_carries_the_key(app: FastAPI) -> None:
    assert call(app, path=UNLOAD, headers={"X-Admin-Key": KEY}).status == 200
    assert call(app, path=LOAD, headers={"Authorization": f"bearer {KEY}"}).status == 200


def test_without_a_key_of_its_own_the_service_takes_none(root: Path) -> None:
    app = create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite"))
    for path in (LOAD, UNLOAD):
        answer = post(app, path)
        check_error(answer.status, answer.headers, answer.body, 403, "DIGITS_ADMIN_KEY")


@pytest.mark.parametrize(
    "body",
    [b"hello", b"[]", b'{"parameters": []}', b'{"parameters": {"config": "{}"}}', {"parameters": {"file:1/x": "eA=="}}],
)
def test_a_load_that_asks_for_more(app: FastAPI, body: Any) -> None:
    answer = post(app, LOAD, body)
    check_error(answer.status, answer.headers, answer.body, 400)


@pytest.mark.parametrize("path", [INDEX, LOAD, UNLOAD])
def test_another_method(app: FastAPI, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = call(app, method, path, headers={"X-Admin-Key": KEY})
        check_error(answer.status, answer.headers, answer.body, 405, "POST")
        assert answer.headers["allow"] == "POST"


# -- several workers --------------------------------------------------------------------------------------------


@pytest.fixture
def workers(root: Path) -> Iterator[Server]:
    with Server(root, workers=2, admin_key=KEY, feedback_path=root / "f.sqlite") as running:
        yield running


def all_answer(server: Server, wanted: int) -> None:
    """Ask over new connections, many at once, until both workers have given this answer for a while."""
    end = time.monotonic() + PATIENCE_S
    body = document(tensor(digits(5)))

    def ask(_: int) -> tuple[int, int]:
        return answered_by(server, INFER, body)

    with ThreadPoolExecutor(8) as threads:
        found: set[tuple[int, int]] = set()
        while {status for status, _ in found} != {wanted} or len(found) < 2:
            assert time.monotonic() < end, f"not all workers answered {wanted}: {found}"
            found = set(threads.map(ask, range(32)))


@pytest.mark.slow
def test_all_workers_unload_and_load(workers: Server) -> None:
    headers = {"X-Admin-Key": KEY}
    all_answer(workers, 200)
    assert workers.client.post(UNLOAD, headers=headers).status_code == 200
    all_answer(workers, 503)
    assert workers.client.post(LOAD, headers=headers).status_code == 200
    all_answer(workers, 200)


@pytest.mark.slow
def test_load_and_unload_answer_once_all_workers_have_done_it(workers: Server) -> None:
    """Once a call has returned, every worker answers accordingly."""
    headers = {"X-Admin-Key": KEY}
    all_answer(workers, 200)
    body = document(tensor(digits(5)))

    def ask(_: int) -> int:
        return over_a_new_connection(workers.port, "POST", INFER, body)[0]

    for _ in range(3):
        for path, wanted in ((UNLOAD, 503), (LOAD, 200)):
            assert workers.client.post(path, headers=headers).status_code == 200
            with ThreadPoolExecutor(8) as threads:
                assert set(threads.map(ask, range(32))) == {wanted}


@pytest.mark.slow
def test_load_does_not_wait_for_ever_for_a_worker_that_hangs(root: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    other = Scoreboard(folder, lambda: {"live": {}, "refused": {}, "trials": {}})
    other._started -= 1
    other.publish()
    settings = Settings(models_dir=root, feedback_path=root / "f.sqlite", run_dir=folder, admin_key=KEY)  # type: ignore[arg-type]
    app = create_app(settings)
    assert post(app, LOAD).status == 200
    assert infer(app).status == 200


def test_a_worker_that_takes_a_dead_one_s_place_knows_what_is_unloaded(root: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    settings = Settings(models_dir=root, feedback_path=root / "f.sqlite", run_dir=folder)
    Scoreboard(folder, dict).unload("digits")
    app = create_app(settings)
    assert infer(app).status == 503
    assert call(app, "GET", "/v2/models/other/ready").status == 200


def test_the_configuration_is_the_one_that_the_service_tells(app: FastAPI, root: Path) -> None:
    told = call(app, "GET", "/v2/models/digits/config").json()
    found = triton_config(root)
    assert told["name"] == found.name
    assert told["platform"] == found.platform
    assert told["version_policy"]["specific"]["versions"] == list(found.version_policy.specific.versions)
    assert [(one["name"], one["dims"]) for one in told["input"]] == [(one.name, list(one.dims)) for one in found.input]
    assert [(one["name"], one["dims"]) for one in told["output"]] == [
        (one.name, list(one.dims)) for one in found.output
    ]
