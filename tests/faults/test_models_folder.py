"""The models folder stalls, fails or vanishes while the service runs: it answers on from memory, and says so."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document, get
from tests.faults.faults import Faults
from tests.faults.table import Row
from tests.support.models import publish
from tests.support.server import PATIENCE_S, Server, run_to_end
from tests.support.waiting import until

KEY = "open sesame, please"
SETTINGS = {"models_timeout_s": 1, "watch_interval_s": 0.1, "admin_key": KEY}
AVAILABLE = "digits_models_folder_available"
FROM_MEMORY = ["/health/live", "/health/ready", "/model", "/metrics", "/v1/models/digits", "/v2/models/digits/ready"]
FROM_THE_FOLDER = ["GET /models", "GET /models/digits/versions/1", "POST /v2/repository/index"]
AWAY = {
    "hangs": "hang 0 all",
    "EIO": f"fail {errno.EIO} all",
    "ESTALE": f"fail {errno.ESTALE} all",
    "EACCES": f"fail {errno.EACCES} all",
    "ELOOP": f"fail {errno.ELOOP} all",
    "EMFILE": f"fail {errno.EMFILE} all",
}
REFUSED = {kind: {503, 404} if kind in ("EACCES", "ELOOP") else {503} for kind in AWAY}  # 404: not there for us


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path / "models")
    publish(tmp_path / "models", shift=1, promote=False)
    return tmp_path / "models"


def trouble(server: Server) -> str | None:
    found: str | None = document(server, "/health/ready")["models_folder"]
    return found


def status(server: Server, call: str) -> int:
    method, _, path = call.partition(" ")
    code: int = get(server, path, method, **{"X-Admin-Key": KEY})[0]
    return code


@pytest.mark.parametrize("kind", AWAY)
@pytest.mark.parametrize("workers", [1, 2])
def test_while_it_is_away_all_that_is_in_memory_is_answered(
    root: Path, faults: Faults, row: Callable[[str], Row], kind: str, workers: int
) -> None:
    line = row(f"models folder: {kind}, {workers} worker(s)")
    with (
        Server(root, environ=faults.environ, workers=workers, **SETTINGS) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        asking.more()
        with faults.during(AWAY[kind]):
            until(lambda: f"{AVAILABLE} 0.0" in server.client.get("/metrics").text)
            until(lambda: trouble(server))
            asking.more(200)
            assert [status(server, f"GET {path}") for path in FROM_MEMORY] == [200] * len(FROM_MEMORY)
            assert {status(server, call) for call in FROM_THE_FOLDER} <= REFUSED[kind]
            assert status(server, "POST /models/digits/versions/2/promote") in REFUSED[kind]
            code, body = get(server, "/models/digits")
            assert code == 503 or "cannot be read" in json.loads(body)["refused"]
            assert document(server, "/health/ready")["status"] == "ready"
        line.recovery_s.append(until(lambda: f"{AVAILABLE} 1.0" in server.client.get("/metrics").text))
        until(lambda: trouble(server) is None)
        assert status(server, "POST /models/digits/versions/2/promote") == 200
        until(lambda: asking.answers[2] > 20)
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


@pytest.mark.parametrize("delay_ms", [5, 20, 50])
def test_a_slow_folder_holds_no_request_up(
    root: Path, faults: Faults, row: Callable[[str], Row], delay_ms: int
) -> None:
    """The call that promotes takes long; every request meanwhile is answered, and the new version comes."""
    line = row(f"models folder: {delay_ms} ms per file call")
    settings = SETTINGS | {"models_timeout_s": 5}
    with Server(root, environ=faults.environ, **settings) as server, Asking(server, {1: 0, 2: 1}) as asking:
        with faults.during(f"delay {delay_ms} all"):
            asking.more(100)
            RepositoryWriter(root).promote("digits", 2)
            line.recovery_s.append(until(lambda: asking.answers[2]))
            assert trouble(server) is None
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def test_a_folder_that_vanishes_for_a_while_keeps_the_counts_of_a_canary(
    root: Path, tmp_path: Path, row: Callable[[str], Row]
) -> None:
    line = row("models folder: renamed away and back, during a canary")
    plan = RolloutPlan(2, percent=50, min_digits=10**6, max_disagreement=1)
    RepositoryWriter(root).start_rollout("digits", plan)
    with (
        Server(root, **SETTINGS | {"feedback_path": tmp_path / "f.sqlite"}) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        until(lambda: asking.answers[2] > 20)
        before = document(server, "/models/digits")["trial"]["requests"]
        root.rename(tmp_path / "away")
        until(lambda: trouble(server))
        assert "not there" in str(trouble(server))
        asking.more(50)
        (tmp_path / "away").rename(root)
        line.recovery_s.append(until(lambda: trouble(server) is None))
        until(lambda: document(server, "/models/digits")["trial"])
        assert document(server, "/models/digits")["trial"]["requests"] >= before
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def test_a_model_whose_folder_is_ill_stops_no_other_model(
    shim: Path, root: Path, tmp_path: Path, row: Callable[[str], Row]
) -> None:
    line = row("one model: EIO, ESTALE, EACCES, ELOOP, EMFILE in its folder only")
    publish(root, shift=2, name="ill")
    faults = Faults(shim, tmp_path / "control", root / "ill")
    with Server(root, environ=faults.environ, **SETTINGS) as server:
        with Asking(server, {1: 0, 2: 1}) as asking:
            for number in (errno.EIO, errno.ESTALE, errno.EACCES, errno.ELOOP, errno.EMFILE):
                with faults.during(f"fail {number} all"):
                    until(lambda: "ill" in document(server, "/health/ready")["refused"])
                    listed = {model["name"]: model for model in document(server, "/models")["models"]}
                    assert "cannot be read" in listed["ill"]["refused"]
                    index = json.loads(get(server, "/v2/repository/index", "POST")[1])
                    assert any(entry["name"] == "ill" and "cannot be read" in entry["reason"] for entry in index)
                    assert 'digits_candidate_refused{model="ill"} 1.0' in server.client.get("/metrics").text
                    assert f"{AVAILABLE} 1.0" in server.client.get("/metrics").text
                    current = RepositoryWriter(root).current("digits")
                    RepositoryWriter(root).promote("digits", 3 - current)
                    until(lambda v=3 - current: document(server, "/model")["version"] == v)
                line.recovery_s.append(until(lambda: document(server, "/health/ready")["refused"] == {}))
                line.times += 1
            line.answers = asking.answers.total()
        _, log = server.stop()
    assert "Traceback" not in log
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def test_models_that_cannot_be_read_from_the_start(root: Path, row: Callable[[str], Row]) -> None:
    line = row("start with a link to itself, a file for a folder, names that are none, a version that is a loop")
    (root / "loop").symlink_to("loop")
    (root / "file").write_text("no folder")
    for name in ("my.model", "my model", "größe"):
        shutil.copytree(root / "digits", root / name)
    (root / "digits" / "7").symlink_to("7")
    with Server(root, **SETTINGS) as server:
        until(lambda: len(document(server, "/health/ready")["refused"]) == 5)
        refused = document(server, "/health/ready")["refused"]
        assert set(refused) == {"loop", "my.model", "my model", "größe", "digits"}
        assert "Version 7 of digits cannot be read" in refused["digits"]
        listed = {model["name"]: model.get("refused") for model in document(server, "/models")["models"]}
        assert listed == refused
        assert get(server, "/v2/repository/index", "POST")[0] == 200
        RepositoryWriter(root).promote("digits", 2)
        line.recovery_s.append(until(lambda: document(server, "/model")["version"] == 2))
        code, log = server.stop()
    line.times = len(refused)
    assert code == 0
    assert "Traceback" not in log
    assert log.count("is ignored") == 3


@pytest.mark.parametrize("kind", ["hangs", "EIO", "ESTALE", "EACCES", "ELOOP"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_without_a_readable_folder_ends_with_a_sentence(
    root: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch, kind: str, workers: int
) -> None:
    faults.set(AWAY[kind])
    monkeypatch.setattr("tests.support.server.environment", _with(faults))
    ended = run_to_end(models_dir=root, port=0, workers=workers, models_timeout_s=1)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Cannot start: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename"])
def test_a_stop_waits_for_no_promotion_that_hangs(root: Path, faults: Faults, workers: int, operation: str) -> None:
    """Its caller is told before the grace period is over, and nothing is cut short."""
    settings = SETTINGS | {"grace_s": 5, "workers": workers}
    with Server(root, environ=faults.environ, **settings) as server, ThreadPoolExecutor(1) as aside:
        until(lambda: f"digits_workers {workers}.0" in server.client.get("/metrics").text)
        with faults.during(f"hang 0 {operation}"):
            path, key = "/models/digits/versions/2/promote", {"X-Admin-Key": KEY}
            promotion = aside.submit(get, server, path, "POST", **key)
            with pytest.raises(TimeoutError):
                promotion.result(timeout=1)
            server.process.terminate()
            code, body = promotion.result(timeout=PATIENCE_S)
            assert (code, "is stopping" in json.loads(body)["detail"]) == (503, True)
            assert server.process.wait(PATIENCE_S) == 0


def _with(faults: Faults) -> Callable[..., dict[str, str]]:
    from tests.support.server import environment

    return lambda **settings: environment(**settings) | faults.environ
