"""API keys: who gets in with which, over HTTP and through the file; none is shown, logged or guessed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from service.access.gate import Gate
from service.access.guesses import Guesses
from service.access.key_file import entries_of_text, read
from service.access.keys import secret_in
from service.errors import DigitsError, TooManyRequests, Unauthorized
from service.settings import Settings
from tests.support.models import digits, publish
from tests.support.refusals import check_problem
from tests.support.server import ROOT, Server, run_to_end
from tests.support.waiting import until

OCTETS = {"content-type": "application/octet-stream"}
CALLS = [
    ("POST", "/predict"),
    ("GET", "/models"),
    ("GET", "/model"),
    ("GET", "/v1/models/digits"),
    ("POST", "/v1/models/digits:predict"),
    ("GET", "/v2"),
    ("GET", "/v2/models/digits"),
    ("POST", "/v2/models/digits/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/feedback"),
    ("GET", "/feedback/stats"),
    ("GET", "/no/such/path"),
]
OPEN = [
    "/",
    "/docs",
    "/openapi.json",
    "/static/app.js",
    "/health/live",
    "/health/ready",
    "/v2/health/ready",
    "/metrics",
]


def keys(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "service", "keys", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done


def added(file: Path, name: str, *more: str) -> str:
    return keys("add", name, "--file", str(file), *more).stdout.strip()


class Keyed:
    """A service with a file of keys: shop may predict, teacher may predict and correct, boss may do all."""

    def __init__(self, models: Path, folder: Path) -> None:
        self.file = folder / "keys.json"
        self.shop = added(self.file, "shop")
        self.teacher = added(self.file, "teacher", "--scopes", "predict,feedback")
        self.boss = added(self.file, "boss", "--scopes", "admin")
        settings = {"keys_path": self.file, "feedback_path": folder / "f.sqlite", "access_log": True}
        self.server = Server(models, wrong_keys_per_min=1000, **settings)

    def status(self, key: str | None, method: str = "POST", path: str = "/predict", **more: Any) -> int:
        headers = OCTETS | ({"authorization": f"Bearer {key}"} if key is not None else {})
        body = digits(3).tobytes() if method == "POST" else None
        return self.server.client.request(method, path, headers=headers, content=body, **more).status_code


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    models = tmp_path_factory.mktemp("models")  # of its own: versions are promoted here
    publish(models)
    found = Keyed(models, tmp_path_factory.mktemp("keys"))
    with found.server:
        yield found


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_needs_a_key(keyed: Keyed, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "x" * 5000}, {"authorization": "Basic ?"}):
        answer = keyed.server.client.request(method, path, headers=OCTETS | headers, content=b"")
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "key" in answer.json().get("error", answer.json().get("detail"))


@pytest.mark.parametrize("path", OPEN)
def test_pages_health_and_metrics_need_none(keyed: Keyed, path: str) -> None:
    assert keyed.server.client.get(path).status_code == 200


def test_a_key_opens_what_its_scopes_say(keyed: Keyed) -> None:
    feedback = {"method": "GET", "path": "/feedback/stats"}
    promote = {"path": "/models/digits/versions/1/promote"}
    assert [keyed.status(key) for key in (keyed.shop, keyed.teacher, keyed.boss)] == [200, 200, 200]
    assert [keyed.status(key, **feedback) for key in (keyed.shop, keyed.teacher, keyed.boss)] == [403, 200, 200]
    assert [keyed.status(key, **promote) for key in (keyed.shop, keyed.teacher)] == [403, 403]
    headers = {"authorization": f"Bearer {keyed.boss}"}
    assert keyed.server.client.post(promote["path"], headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"authorization": f"Bearer {key}"},
        lambda key: {"authorization": f"bearer {key}"},
        lambda key: {"x-api-key": key},
        lambda key: {"x-admin-key": key},
        lambda key: {"authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()},
    ],
)
def test_every_way_to_send_a_key(keyed: Keyed, headers: Any) -> None:
    for content_type in ("application/octet-stream", "application/json"):  # past ASGI, and through it
        body = digits(3).tobytes() if "octet" in content_type else json.dumps({"instances": digits(3).tolist()})
        more = headers(keyed.shop) | {"content-type": content_type, "accept": "application/json;q=0.9"}
        assert keyed.server.client.post("/predict", content=body, headers=more).status_code == 200


def test_a_preflight_carries_no_key(models_dir: Path, tmp_path: Path) -> None:
    origin = "https://page.example"
    entry = f"a:predict:{hashlib.sha256(b'x' * 40).hexdigest()}"
    with Server(models_dir, keys=entry, cors_origins=origin, feedback_path=tmp_path / "f.sqlite") as server:
        asks = {"origin": origin, "access-control-request-method": "POST"}
        answer = server.client.options("/predict", headers=asks | {"access-control-request-headers": "authorization"})
        assert answer.status_code == 200
        refused = server.client.post("/predict", headers={"origin": origin}, content=b"")
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == origin  # the page may read why
        more = OCTETS | {"origin": origin, "authorization": "Bearer " + "x" * 40}
        assert server.client.post("/predict", headers=more, content=digits(3).tobytes()).status_code == 200


def test_keys_are_rotated_while_the_service_runs(keyed: Keyed) -> None:
    old = added(keyed.file, "old")
    until(lambda: keyed.status(old) == 200)
    new = added(keyed.file, "new")
    until(lambda: keyed.status(new) == 200)
    assert keyed.status(old) == 200
    keys("revoke", "old", "--file", str(keyed.file))
    until(lambda: keyed.status(old) == 401)
    assert keyed.status(new) == 200


def test_a_damaged_file_changes_nothing_and_is_said_once(keyed: Keyed) -> None:
    good = keyed.file.read_bytes()
    late = added(keyed.file, "late")
    until(lambda: keyed.status(late) == 200)
    for damage in (b"{", b'{"keys": 3}', b"", b" " * (2**20 + 1)):
        keyed.file.write_bytes(damage)
        until(lambda: any("stay as they were" in line for line in keyed.server.lines()))
        assert keyed.status(late) == 200
    keyed.file.unlink()
    until(lambda: any("no such file" in line for line in keyed.server.lines()))
    assert keyed.status(late) == 200
    keyed.file.write_bytes(good)
    until(lambda: keyed.status(late) == 401)


def test_no_key_is_ever_written_down(keyed: Keyed) -> None:
    assert keyed.status(keyed.shop) == 200
    assert keyed.status("a wrong key of some length") == 401
    log = "\n".join(keyed.server.lines())
    for secret in (keyed.shop, keyed.teacher, keyed.boss, "a wrong key of some length"):
        assert secret not in log
        assert secret not in keyed.file.read_text()


def test_an_expired_key_is_none(models_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old, new = added(file, "old", "--expires", "2020-01-01"), added(file, "new", "--expires", "2999-01-01")
    with Server(models_dir, keys_path=file, feedback_path=tmp_path / "f.sqlite") as server:
        for key, status in ((old, 401), (new, 200)):
            headers = OCTETS | {"x-api-key": key}
            assert server.client.post("/predict", headers=headers, content=digits(3).tobytes()).status_code == status
    assert "2020-01-01 (over)" in keys("list", "--file", str(file)).stdout


def test_a_key_that_was_remembered_expires_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is set forward: an address whose key was looked up yesterday is looked at again today."""
    file, today = tmp_path / "keys.json", datetime.now(UTC)
    key = added(file, "short", "--expires", (today + timedelta(days=1)).date().isoformat()).encode()
    gate = Gate(Settings(keys_path=file))
    headers = [(b"x-api-key", key)]
    assert gate.enter_at_once("192.0.2.1", headers) is gate.enter_at_once("192.0.2.1", headers) is not None

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls.fromtimestamp((today + timedelta(days=2)).timestamp(), tz)

    monkeypatch.setattr("service.access.keys.datetime", Clock)
    assert gate.enter_at_once("192.0.2.1", headers) is None
    with pytest.raises(Unauthorized, match="expired"):
        asyncio.run(gate.enter(gate.client("192.0.2.1", headers), "predict"))


def test_guessing_is_slowed_down_and_locks_nobody_else_out(models_dir: Path, tmp_path: Path) -> None:
    key, other = "k" * 32, "o" * 32
    entries = ",".join(f"{each[0]}:predict:{hashlib.sha256(each.encode()).hexdigest()}" for each in (key, other))
    with Server(models_dir, keys=entries, wrong_keys_per_min=5, feedback_path=tmp_path / "f.sqlite") as server:

        def send(secret: str) -> Any:
            headers = OCTETS | {"x-api-key": secret}
            return server.client.post("/predict", headers=headers, content=digits(3).tobytes())

        assert send(key).status_code == 200
        statuses = [send(f"guess {number}").status_code for number in range(20)]
        assert statuses == [401] * 5 + [429] * 15
        refused = send(other)  # right, but this address has never used it: a guesser does not learn that it is
        check_problem(refused.status_code, refused.headers, refused.content, 429, says="wrong keys")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert send(key).status_code == 200
        assert server.client.get("/health/ready").status_code == 200


def test_guesses_are_forgotten_in_the_end() -> None:
    guesses = Guesses(2)
    for number in range(20_001):
        guesses.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        guesses.right("::1", str(number))
    assert len(guesses._known) <= 10_000
    assert len(guesses._until) <= 10_000
    assert guesses.suspect("10.0.78.32")
    assert not guesses.suspect("10.0.0.0")
    guesses.check("192.0.2.1", None)
    for _ in range(2):
        guesses.wrong("192.0.2.1")
    with pytest.raises(TooManyRequests):
        guesses.check("192.0.2.1", None)


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], b""),
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"Digest abc")], b""),
        ([(b"authorization", b"Basic " + base64.b64encode(b"user:a:b"))], b"a:b"),
        ([(b"authorization", b"Basic " + base64.b64encode(b"user"))], b""),
        ([(b"authorization", b"Basic \xff")], b""),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"def")], b"def"),
        ([(b"x-admin-key", b"ghi"), (b"x-api-key", b"def")], b"ghi"),
        ([(b"x-api-key", b""), (b"authorization", b"Bearer abc")], b"abc"),
    ],
)
def test_where_a_key_may_stand(headers: list[tuple[bytes, bytes]], secret: bytes) -> None:
    assert secret_in(headers) == secret


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"admin_key": "short"}, "16 characters"),
        ({"keys_path": "no/such/file"}, "python -m service keys add"),
        ({"keys": "shop:predict:abc"}, "DIGITS_KEYS"),
        ({"keys": f"shop:fly:{'0' * 64}"}, "DIGITS_KEYS"),
        ({"keys": f"a:predict:{'0' * 64},a:predict:{'1' * 64}"}, "two keys"),
    ],
)
def test_wrong_settings_end_the_start_with_a_sentence(models_dir: Path, settings: dict[str, str], says: str) -> None:
    ended = run_to_end(models_dir=models_dir, port=0, **settings)
    assert ended.returncode in (1, 2)
    assert ended.stderr.startswith("Cannot start: ")
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert settings.get("keys", "no key")[:20] not in ended.stderr


def test_the_commands_refuse_with_sentences(tmp_path: Path) -> None:
    file = str(tmp_path / "keys.json")
    added(Path(file), "shop")
    before = Path(file).read_bytes()
    for arguments, says in [
        (["add", "shop"], "already"),
        (["add", "sh op"], "letters, digits"),
        (["add", "x", "--scopes", "fly"], "predict, feedback, admin"),
        (["revoke", "nobody"], "list shows"),
    ]:
        done = keys(*arguments, "--file", file, status=1)
        assert done.stderr.startswith("Error: "), done.stderr
        assert says in done.stderr
        assert not done.stdout
    assert Path(file).read_bytes() == before
    assert keys("list", "--file", file).stdout.splitlines()[1].split()[:2] == ["shop", "predict"]
    assert "keys add" in keys("list", "--file", str(tmp_path / "none.json"), status=1).stderr


def test_many_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    silent: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    file, command = tmp_path / "keys.json", [sys.executable, "-m", "service", "keys", "add"]
    running = [subprocess.Popen([*command, f"k{n}", "--file", file], cwd=ROOT, **silent) for n in range(8)]
    assert [each.wait(60) for each in running] == [0] * 8
    assert sorted(entry.name for entry in read(file)) == sorted(f"k{n}" for n in range(8))
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_an_entry_for_the_environment() -> None:
    secret, entry = keys("add", "shop", "--scopes", "predict,feedback", "--environment").stdout.splitlines()
    (found,) = entries_of_text(f" {entry} ,")
    assert (found.name, found.scopes) == ("shop", ["predict", "feedback"])
    assert found.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    with pytest.raises(DigitsError):
        entries_of_text(entry[:-1])
