"""An answer that takes too long is given up, with the work for it; the time of the body does not count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import tritonclient.grpc as triton
from PIL import Image

from tests.support.bodies import as_image
from tests.support.grpc_client import address, code_of, found, images, pixels
from tests.support.models import digit, digits
from tests.support.refusals import check_problem
from tests.support.server import Server
from tests.support.waiting import until

TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def hasty(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hasty")
    with Server(models_dir, answer_timeout_s=TIMEOUT_S, grpc_port=0, feedback_path=folder / "f.sqlite") as server:
        yield server


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A picture of 12 million pixels in a few bytes; a hundred of them are some seconds of work."""
    return as_image(Image.fromarray(digit(3)).resize((3500, 3500)))


def cpu_s(server: Server) -> float:
    times = psutil.Process(server.process.pid).cpu_times()
    return float(times.user + times.system)


def is_at_rest(server: Server) -> bool:
    before = cpu_s(server)
    time.sleep(0.3)
    return cpu_s(server) - before < 0.1


def test_a_late_answer_is_504_and_its_work_ends(hasty: Server, photo: bytes) -> None:
    answer = hasty.client.post("/predict", files=[("file", photo)] * 100)
    check_problem(answer.status_code, answer.headers, answer.content, 504, says="0.5 seconds")
    until(lambda: is_at_rest(hasty), 20)
    assert hasty.client.post("/predict", files=[("file", photo)]).status_code == 200


def test_a_body_that_comes_slowly_is_not_late(hasty: Server) -> None:
    def slowly() -> Iterator[bytes]:
        for byte in digits(3).tobytes()[:4], digits(3).tobytes()[4:]:
            yield byte
            time.sleep(1.5 * TIMEOUT_S)

    headers = {"content-type": "application/octet-stream"}
    assert hasty.client.post("/predict", content=slowly(), headers=headers).status_code == 200


def test_an_answer_that_is_read_slowly_is_not_late(hasty: Server) -> None:
    body, headers = digits(*[3] * 2000).tobytes(), {"content-type": "application/octet-stream"}
    with hasty.client.stream("POST", "/predict", content=body, headers=headers) as answer:
        time.sleep(2 * TIMEOUT_S)
        size = sum(len(piece) for piece in answer.iter_raw(1000))
    assert answer.status_code == 200
    assert size == int(answer.headers["content-length"])


def test_over_grpc_too(hasty: Server, photo: bytes) -> None:
    with triton.InferenceServerClient(address(hasty)) as client:
        assert code_of(client.infer, "digits", images([photo] * 100)) == "DEADLINE_EXCEEDED"
        until(lambda: is_at_rest(hasty), 20)
        assert found(client.infer("digits", pixels(digits(3)))) == [3]


def test_pages_and_health_are_as_before(hasty: Server) -> None:
    assert [hasty.client.get(path).status_code for path in ("/", "/docs", "/health/ready", "/metrics")] == [200] * 4
    assert isinstance(hasty.client, httpx.Client)
