"""The fast path: it answers as the ASGI path does, or declines a request, which then takes the ASGI path."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.engine.rollout import Rollout
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.server.exchange import Headers
from service.settings import Settings
from service.telemetry.statistics import FAIL, SUCCESS
from tests.support.asgi import until
from tests.support.bodies import as_csv, as_image, as_json, as_npy
from tests.support.models import digit, digits, publish
from tests.support.refusals import REFUSALS, check_problem
from tests.support.server import Server

OCTETS = "application/octet-stream"
WAYS = {
    "nested JSON": (as_json(digits(3)), "application/json"),
    "flat JSON": (as_json(digits(3, 4).reshape(2, 784)), "application/json; charset=utf-8"),
    "JSON of fractions": (as_json(digits(3) * 0.5), "Application/JSON"),
    "raw bytes": (digits(3, 4, 5).tobytes(), OCTETS),
    "as many as a batch": (digits(*[i % 10 for i in range(32)]).tobytes(), OCTETS),
    "more than a batch": (digits(*[i % 10 for i in range(33)]).tobytes(), OCTETS),
    "PNG": (as_image(digit(3)), "image/png"),
    "an array": (as_npy(digits(3, 4)), "application/x-npy"),
    "CSV": (as_csv(digits(3, 4)), "text/csv"),
}

Answer = tuple[int, dict[str, str], bytes]


def request(body: bytes, kind: str = OCTETS, url: str = "/predict", version: str = "1.1", **headers: str) -> bytes:
    lines = {"Host": "x", "Content-Type": kind, "Content-Length": len(body)}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {url} HTTP/{version}\r\n{head}\r\n".encode() + body


def read(stream: BufferedReader) -> Answer:
    status, headers = int(stream.readline().split()[1]), {}
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        assert name not in headers, f"{name} came twice"
        headers[name] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", 0)))


def found(answer: Answer) -> list[int]:
    assert answer[0] == 200, answer
    return [prediction["digit"] for prediction in json.loads(answer[2])["predictions"]]


def ask(server: Server, *packets: bytes) -> Answer:
    with server.socket() as connection, connection.makefile("rb") as stream:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            connection.sendall(packet)
            if packet is not packets[-1]:  # it has surely arrived
                assert server.client.get("/health/live").status_code == 200
        return read(stream)


# -- over sockets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_the_fast_path_answers_as_the_asgi_path_does(server: Server, name: str) -> None:
    """The fast path declines a URL with a query string."""
    body, kind = WAYS[name]
    status, headers, content = ask(server, request(body, kind, x_request_id="mine"))
    usual_status, usual_headers, usual_content = ask(server, request(body, kind, "/predict?", x_request_id="mine"))
    assert (status, content) == (usual_status, usual_content) == (200, content)
    assert list(headers) == list(usual_headers)
    assert {**headers, "date": ""} == {**usual_headers, "date": ""}


@pytest.mark.parametrize("refusal", REFUSALS[::4], ids=lambda refusal: refusal.name)
def test_the_fast_path_rejects_nothing_itself(server: Server, refusal: Any) -> None:
    if refusal.method != "POST" or not refusal.kind:
        pytest.skip("asked otherwise")
    more = {name.replace("-", "_"): value for name, value in refusal.more} | {"x_request_id": "mine"}
    one, other = (ask(server, request(refusal.body, refusal.kind, url, **more)) for url in ("/predict", "/predict?"))
    assert (one[0], {**one[1], "date": ""}, one[2]) == (other[0], {**other[1], "date": ""}, other[2])


@pytest.mark.parametrize("cut", [1, 14, 60, -785, -784, -783, -1])
def test_a_request_in_two_packets_is_answered_too(server: Server, cut: int) -> None:
    data = request(digit(7).tobytes())
    assert found(ask(server, data[:cut], data[cut:])) == [7]


def test_answers_come_in_the_order_of_their_requests(server: Server) -> None:
    """Pipelined in one packet, and the slow ones first."""
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    chunked += b"Transfer-Encoding: chunked\r\n\r\n310\r\n%b\r\n0\r\n\r\n" % digit(6).tobytes()
    get = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    big = request(digits(*[i % 10 for i in range(3000)]).tobytes())
    wanted: list[tuple[bytes, Callable[[Answer], bool]]] = [
        (request(digit(1).tobytes()), lambda answer: found(answer) == [1]),
        (request(digit(2).tobytes()), lambda answer: found(answer) == [2]),
        (get, lambda answer: b"digit" not in answer[2] and answer[0] == 200),
        (request(b"hello", "application/json"), lambda answer: answer[0] == 400),
        (request(as_json(digits(3)), "application/json"), lambda answer: found(answer) == [3]),
        (chunked, lambda answer: found(answer) == [6]),
        (request(digit(4).tobytes(), accept="text/csv"), lambda answer: answer[2] == b"ImageId,Label\n1,4\n"),
        (big, lambda answer: len(found(answer)) == 3000),
        (request(digit(5).tobytes()), lambda answer: found(answer) == [5]),
    ]
    for shuffle in range(6):
        random.Random(shuffle).shuffle(wanted)
        with server.socket() as connection, connection.makefile("rb") as stream:
            connection.sendall(b"".join(data for data, _ in wanted))
            for data, check in wanted:
                assert check(read(stream)), (shuffle, data[:100])


@pytest.mark.parametrize(
    ("version", "headers", "stays"),
    [
        ("1.1", {}, True),
        ("1.1", {"connection": "keep-alive"}, True),
        ("1.1", {"connection": "close"}, False),
        ("1.0", {}, False),
        ("1.0", {"connection": "keep-alive"}, False),
    ],
)
def test_a_connection_stays_or_closes_as_agreed(
    server: Server, version: str, headers: dict[str, str], stays: bool
) -> None:
    data = request(digit(3).tobytes(), version=version, **headers)
    with server.socket() as connection, connection.makefile("rb") as stream:
        connection.sendall(data)
        answer = read(stream)
        assert found(answer) == [3]
        assert answer[1].get("connection") == (None if stays else "close")
        if stays:
            connection.sendall(data)
            assert found(read(stream)) == [3]
        else:
            assert stream.read() == b""


def test_expect_100_continue_is_answered(server: Server) -> None:
    with server.socket() as connection, connection.makefile("rb") as stream:
        connection.sendall(request(digit(3).tobytes(), expect="100-continue"))
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        assert found(read(stream)) == [3]


def test_every_request_is_counted_logged_and_remembered(models_dir: Path, tmp_path: Path) -> None:
    with Server(models_dir, access_log="true", feedback_path=tmp_path / "feedback.sqlite") as server:
        first = ask(server, request(digit(3).tobytes(), x_request_id="mine"))
        others = {ask(server, request(digit(4).tobytes()))[1]["x-request-id"] for _ in range(5)}
        assert first[1]["x-request-id"] == "mine"
        assert len(others) == 5
        metrics = server.client.get("/metrics").text
        assert 'digits_request_duration_seconds_count{method="POST",route="/predict",status="200"} 6.0' in metrics
        for given_id in ["mine", *others]:
            told = server.client.post("/feedback", json={"request_id": given_id, "index": 0, "label": 3})
            assert told.status_code < 300, told.text
        _, log = server.stop()
    assert sum("POST /predict 200" in line for line in log.splitlines()) == 6
    assert "mine" in log


def test_each_client_gets_its_own_answer_while_others_disconnect(server: Server) -> None:
    """Twenty threads with their own connections; every third one disconnects without reading."""
    wrong: list[object] = []

    def talk(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(8):
                with server.socket() as connection, connection.makefile("rb") as stream:
                    for _ in range(dice.randint(1, 6)):
                        values = [dice.randrange(10) for _ in range(dice.choice([1, 1, 2, 40]))]
                        as_text = dice.random() < 0.5
                        body = as_json(digits(*values)) if as_text else digits(*values).tobytes()
                        connection.sendall(request(body, "application/json" if as_text else OCTETS))
                        if dice.random() < 0.3:
                            break
                        if found(read(stream)) != values:
                            wrong.append(values)
        except Exception as error:  # noqa: BLE001 - told below
            wrong.append(error)

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert found(ask(server, request(digit(9).tobytes()))) == [9]


def test_a_stopping_service_answers_the_requests_that_it_accepted(models_dir: Path, tmp_path: Path) -> None:
    """Each request sent while it stops is answered, or its connection was closed before it was sent."""
    with Server(models_dir, feedback_path=tmp_path / "feedback.sqlite") as server:
        cut, asked = [], threading.Event()

        def talk() -> None:
            while True:
                try:
                    connection = server.socket()
                except OSError:
                    return
                with connection, connection.makefile("rb") as stream:
                    try:
                        connection.sendall(request(digit(3).tobytes()))
                        line = stream.readline()
                    except ConnectionError:
                        return
                    asked.set()
                    if not line:
                        return
                    body = stream.read(200)
                    if not line.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")) or len(body) < 200:
                        cut.append(line + body)

        threads = [threading.Thread(target=talk) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert asked.wait(30)
        code, _ = server.stop()
        for thread in threads:
            thread.join(30)
    assert code == 0
    assert not cut


# -- what it takes --------------------------------------------------------------------------------------------------


class Replies:
    """Records the replies of the fast path."""

    def __init__(self) -> None:
        self.given: list[tuple[int, dict[str, str], bytes, bool]] = []

    def __call__(self, status: int, head: bytes, body: bytes, close: bool) -> None:
        assert head.endswith(b"\r\n")
        headers = dict(line.split(": ") for line in head.decode().splitlines())
        self.given.append((status, headers, body, close))


def in_loop(steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(steps(), 60))


def heads(kind: str = OCTETS, **more: str) -> Headers:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in {"content_type": kind, **more}.items()]


@pytest.fixture
def alone(models_dir: Path) -> FastAPI:
    return create_app(Settings(models_dir=models_dir, max_queue_rows=50, max_instances=40))


@pytest.mark.parametrize("name", [name for name in WAYS if not name.startswith("more")])
def test_it_accepts_small_uncompressed_bodies(alone: FastAPI, name: str) -> None:
    body, kind = WAYS[name]
    replies = Replies()

    async def steps() -> None:
        assert alone.fast_path.take(heads(kind, accept="*/*"), body, replies)  # type: ignore[attr-defined]
        assert (replies.given, alone.state.context.drain.inside, bool(alone.state.context.engine.admission.rows)) == (
            [],
            1,
            True,
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    in_loop(steps)
    ((status, headers, answer, close),) = replies.given
    assert (status, close) == (200, False)
    assert headers["content-length"] == str(len(answer))
    assert json.loads(answer)["predictions"][0]["digit"] == (0 if "batch" in name else 3)
    assert (alone.state.context.drain.inside, alone.state.context.engine.admission.rows) == (0, 0)


LEFT = {
    "nothing": (b"", OCTETS, {}),
    "no type": (bytes(784), "", {}),
    "another type": (bytes(784), "text/html", {}),
    "files": (bytes(784), "multipart/form-data; boundary=x", {}),
    "half a digit": (bytes(300), OCTETS, {}),
    "no JSON": (b"hello", "application/json", {}),
    "no picture": (b"hello", "image/png", {}),
    "a large picture": (as_image(np.zeros((900, 900), np.uint8)), "image/png", {}),
    "more than runs at once": (bytes(784 * 33), OCTETS, {}),
    "more than are taken": (bytes(784 * 41), OCTETS, {}),
    "a big body": (bytes(784 * 100), OCTETS, {}),
    "compressed": (bytes(784), OCTETS, {"content_encoding": "gzip"}),
    "an answer in CSV": (bytes(784), OCTETS, {"accept": "text/csv"}),
    "an answer in anything": (bytes(784), OCTETS, {"accept": "text/html, */*;q=0.8"}),
}


@pytest.mark.parametrize("name", LEFT)
def test_it_declines_other_requests_without_a_trace(alone: FastAPI, name: str) -> None:
    body, kind, more = LEFT[name]
    declined(alone, heads(kind, **more), body)


def declined(app: FastAPI, headers: Headers, body: bytes) -> None:
    replies = Replies()

    async def steps() -> None:
        before = app.state.context.engine.admission.rows
        assert not app.fast_path.take(headers, body, replies)  # type: ignore[attr-defined]
        assert (app.state.context.drain.inside, app.state.context.engine.admission.rows) == (0, before)
        await asyncio.sleep(0.01)

    in_loop(steps)
    assert replies.given == []


def test_it_declines_while_the_service_drains(alone: FastAPI) -> None:
    alone.state.context.drain.leaving = True
    declined(alone, heads(), bytes(784))


def test_it_declines_when_no_model_is_loaded(alone: FastAPI) -> None:
    alone.state.context.engine.unload("digits")
    declined(alone, heads(), bytes(784))


def test_it_declines_during_a_rollout(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=50))
    app = create_app(Settings(models_dir=tmp_path))
    engine = app.state.context.engine
    engine.swap_rollout("digits", Rollout(RolloutPlan(2, percent=50), engine.load("digits", 2)))
    declined(app, heads(), bytes(784))
    engine.swap_rollout("digits", None)
    with pytest.raises(AssertionError):
        declined(app, heads(), bytes(784))


def test_it_declines_when_the_queue_is_full(alone: FastAPI) -> None:
    alone.state.context.engine.admission.acquire(50)
    declined(alone, heads(), bytes(784))


def test_an_answer_sent_while_draining_closes_the_connection(alone: FastAPI) -> None:
    replies = Replies()

    async def steps() -> None:
        assert alone.fast_path.take(heads(), bytes(784), replies)  # type: ignore[attr-defined]
        alone.state.context.drain.leaving = True
        await until(lambda: replies.given)

    in_loop(steps)
    assert [(status, close) for status, *_, close in replies.given] == [(200, True)]


def test_a_failing_model_is_a_500_and_one_log_line_per_request(
    alone: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the requests in a batch, only the one that makes the model fail gets an error."""
    served, replies, others = alone.state.context.engine.served(), Replies(), Replies()
    run = served.batcher._run

    def fails(pixels: Any) -> Any:
        if (pixels == 77).any():
            raise RuntimeError("out of memory in /some/file.py")
        return run(pixels)

    served.batcher._run = fails

    async def steps() -> None:
        for value in range(5):
            assert alone.fast_path.take(heads(), digit(value).tobytes(), others)  # type: ignore[attr-defined]
        assert alone.fast_path.take(heads(x_request_id="mine"), digit(3, ink=77).tobytes(), replies)  # type: ignore[attr-defined]
        await until(lambda: replies.given and len(others.given) == 5)

    in_loop(steps)
    assert [json.loads(body)["predictions"][0]["digit"] for _, _, body, _ in others.given] == [0, 1, 2, 3, 4]
    ((status, headers, body, _),) = replies.given
    check_problem(status, headers, body, 500, says="failed to process")
    assert headers["x-request-id"] == "mine"
    assert [record.getMessage() for record in caplog.records] == ["request mine failed"]
    assert (alone.state.context.drain.inside, alone.state.context.engine.admission.rows) == (0, 0)
    counted = alone.state.context.engine._meter.statistics.requests["digits 2"]
    assert (counted[SUCCESS], counted[FAIL]) == (5, 1)
