"""Limits per client: who has used them up gets 429 and is told when to come again; others do not notice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.access.quota import MAX_CLIENTS, WINDOW_S, Quotas
from service.errors import TooManyRequests
from service.settings import Settings
from tests.support.models import digits
from tests.support.ports import free_port
from tests.support.refusals import check_problem
from tests.support.server import Server
from tests.support.waiting import until

OCTETS = {"content-type": "application/octet-stream"}
PROXY = {"trusted_proxies": "127.0.0.1", "max_connections_per_client": 1}


def as_client(number: int) -> dict[str, str]:
    return {"x-forwarded-for": f"198.51.100.{number}"}


def predict(server: Server, client: int, count: int = 1, *, past_asgi: bool = True) -> Any:
    headers = OCTETS | as_client(client) | ({} if past_asgi else {"accept": "application/json;q=0.5"})
    return server.client.post("/predict", content=digits(3).tobytes() * count, headers=headers)


def until_refused(send: Callable[[], Any]) -> tuple[int, Any]:
    """How many requests passed before one was refused, and that one."""
    for passed in range(1000):
        answer = send()
        if answer.status_code != 200:
            assert answer.status_code == 429, answer.text
            return passed, answer
    raise AssertionError("nothing was refused")


@pytest.fixture(scope="module", params=["memory", "redis"])
def quota_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where limits are counted: here, or in a Redis of our own."""
    if request.param == "memory":
        yield ""
        return
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("needs redis-server (apt-get install redis-server)")
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as redis:
        until(lambda: _answers(port))
        yield f"redis://127.0.0.1:{port}/0"
        redis.terminate()


def _answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"


@pytest.mark.parametrize("past_asgi", [True, False])
def test_requests_per_second(models_dir: Path, tmp_path: Path, quota_url: str, past_asgi: bool) -> None:
    settings = PROXY | {"feedback_path": tmp_path / "f.sqlite", "quota_url": quota_url}
    with Server(models_dir, client_requests_per_s=3, **settings) as server:
        me = 1 + past_asgi
        passed, refused = until_refused(lambda: predict(server, me, past_asgi=past_asgi))
        assert 3 * WINDOW_S <= passed <= 6 * WINDOW_S  # some more as the window moves on
        check_problem(refused.status_code, refused.headers, refused.content, 429, says="30 requests in 10 seconds")
        assert 1 <= int(refused.headers["retry-after"]) <= WINDOW_S
        assert refused.headers["ratelimit-policy"] == '"requests";q=30;w=10'
        assert refused.headers["ratelimit"] == f'"requests";r=0;t={refused.headers["retry-after"]}'
        assert predict(server, 100 + me).status_code == 200
        mine = as_client(me)
        for path in ("/models", "/v1/models", "/v2", "/no/such/path"):
            assert server.client.get(path, headers=mine).status_code == 429
        assert "error" in server.client.get("/v2", headers=mine).json()
        for path in ("/health/ready", "/v2/health/live", "/metrics"):
            assert server.client.get(path, headers=mine).status_code == 200
        until(lambda: predict(server, me, past_asgi=past_asgi).status_code == 200, 2 * WINDOW_S + 5)
        code, log = server.stop()  # no connection to Redis is left open
    assert code == 0, log


def test_digits_per_second_in_every_protocol(models_dir: Path, tmp_path: Path, quota_url: str) -> None:
    settings = PROXY | {"feedback_path": tmp_path / "f.sqlite", "quota_url": quota_url}
    pixels = digits(3).tolist() * 50
    v1, flat = json.dumps({"instances": pixels}), digits(*[3] * 50).ravel().tolist()
    v2 = json.dumps({"inputs": [{"name": "pixels", "shape": [50, 28, 28, 1], "datatype": "UINT8", "data": flat}]})
    with Server(models_dir, client_digits_per_s=10, **settings) as server:
        for client, (path, body) in enumerate(
            [("/predict", v1), ("/v1/models/digits:predict", v1), ("/v2/models/digits/infer", v2)], 10
        ):
            headers = {"content-type": "application/json"} | as_client(client)
            answers = [server.client.post(path, content=body, headers=headers) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429], answers[-1].text
            assert answers[-1].headers["ratelimit-policy"] == '"digits";q=100;w=10'
        assert predict(server, 20, 101).status_code == 413  # it would never pass
        assert predict(server, 21, 100).status_code == 200
        assert 100 <= until_refused(lambda: predict(server, 22))[0] <= 200


def test_corrections_per_hour(models_dir: Path, tmp_path: Path) -> None:
    key = "a key of a person in charge"
    settings = PROXY | {"feedback_path": tmp_path / "f.sqlite", "admin_key": key}
    with Server(models_dir, client_corrections_per_h=5, **settings) as server:

        def correct(number: int, client: int, **more: str) -> Any:
            body = {"label": number % 10, "digit": digits(number % 10)[0].tolist()}
            return server.client.post("/feedback", json=body, headers=as_client(client) | more)

        assert [correct(number, 1).status_code for number in range(8)] == [201] * 5 + [429] * 3
        assert int(correct(9, 1).headers["retry-after"]) <= 3600
        assert correct(9, 2).status_code == 201
        assert correct(7, 1, **{"x-api-key": key}).status_code == 201


def test_a_key_counts_as_one_client_wherever_it_comes_from(models_dir: Path, tmp_path: Path) -> None:
    entry = ",".join(f"{name}:predict:{hashlib.sha256(name.encode() * 20).hexdigest()}" for name in "ab")
    settings = PROXY | {"feedback_path": tmp_path / "f.sqlite", "keys": entry}
    with Server(models_dir, client_requests_per_s=1, **settings) as server:

        def send(name: str, client: int) -> Any:
            headers = OCTETS | as_client(client) | {"x-api-key": name * 20}
            return server.client.post("/predict", content=digits(3).tobytes(), headers=headers)

        others = count(1)
        assert 10 <= until_refused(lambda: send("a", next(others)))[0] <= 20
        assert send("b", 1).status_code == 200


def test_without_redis_the_service_serves_on(models_dir: Path, tmp_path: Path) -> None:
    """Limits are for fairness: a service that stops with its Redis would be worse than one without limits."""
    settings = {"feedback_path": tmp_path / "f.sqlite", "quota_url": f"redis://127.0.0.1:{free_port()}/0"}
    with Server(models_dir, client_requests_per_s=1, **settings) as server:
        assert [predict(server, 1).status_code for _ in range(30)] == [200] * 30
        said = [line for line in server.lines() if "Redis" in line]
    assert len(said) == 1
    assert "127.0.0.1" not in said[0]


def test_memory_for_clients_is_bounded() -> None:
    quota = Quotas(Settings(client_requests_per_s=100)).requests
    assert quota
    for number in range(MAX_CLIENTS + 100):
        assert quota.spend(str(number), 1)
    assert len(quota._left) <= MAX_CLIENTS


@pytest.mark.parametrize("rate", [0.1, 0.5, 1, 7.3, 100])
def test_never_more_than_the_amount_and_never_a_handful_less(rate: float) -> None:
    quota = Quotas(Settings(client_digits_per_s=rate)).digits
    assert quota
    amount, taken, sizes = max(1, round(rate * WINDOW_S)), 0, [1, 3, 2, 5]
    for number in range(2 * amount):
        size = min(sizes[number % 4], amount)
        taken += size * quota.spend("me", size)
    assert taken <= amount
    assert taken > amount - max(sizes)

    async def refused() -> TooManyRequests:
        try:
            for _ in range(amount + 1):
                await quota.take("me", 1)
        except TooManyRequests as error:
            return error
        raise AssertionError("nothing was refused")

    assert 1 <= asyncio.run(refused()).retry_after <= WINDOW_S


def test_the_url_of_redis_is_not_shown() -> None:
    settings = Settings(quota_url=SecretStr("redis://:secret@redis:6379/0"))
    assert "secret" not in f"{settings!r} {settings.model_dump()}"
    with pytest.raises(ValueError, match="rediss"):
        Settings(quota_url=SecretStr("http://redis"))
