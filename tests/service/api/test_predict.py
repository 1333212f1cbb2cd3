"""POST /predict: every form of a digit is answered, every bad request gets its status and its sentence."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import create_app
from service.settings import Settings
from tests.support.asgi import Answer, acall, call, until
from tests.support.bodies import MULTIPART, as_csv, as_image, as_json, as_multipart, as_npy, on_paper
from tests.support.models import digit, digits, written
from tests.support.refusals import REFUSALS, Refusal, check_problem
from tests.support.server import Server

JSON = {"Content-Type": "application/json"}
WANTED = [3, 1, 4, 1, 5, 9, 2, 6, 5, 0]
PIXELS = digits(*WANTED)

GOOD = [
    ("JSON, nested", as_json(PIXELS), "application/json"),
    ("JSON, flat", as_json(PIXELS.reshape(-1, 784)), "application/json"),
    ("JSON, with a charset", as_json(PIXELS), "application/json; charset=utf-8"),
    ("JSON, type in capitals", as_json(PIXELS), "Application/JSON"),
    ("JSON, floats", as_json(PIXELS.astype(float)), "application/json"),
    ("JSON, fractions", as_json(np.where(PIXELS > 0, 200.4, 12.5)), "application/json"),
    ("octets", PIXELS.tobytes(), "application/octet-stream"),
    ("npy", as_npy(PIXELS), "application/x-npy"),
    ("CSV", as_csv(PIXELS), "text/csv"),
    ("CSV, with names", as_csv(PIXELS, header=True), "text/csv; charset=utf-8"),
    ("multipart", as_multipart([(f"{i}.png", as_image(one)) for i, one in enumerate(PIXELS)]), MULTIPART),
]


def digits_in(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body[:500]
    return [prediction["digit"] for prediction in answer.json()["predictions"]]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_rejection_in_process(strict_app: FastAPI, refusal: Refusal) -> None:
    answer = call(strict_app, refusal.method, body=refusal.body, headers=refusal.headers)
    check_problem(answer.status, answer.headers, answer.body, refusal.status, refusal.where, refusal.says)
    assert refusal.status != 405 or answer.headers["allow"] == "POST"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_rejection_over_the_socket(strict_server: Server, refusal: Refusal) -> None:
    headers = {name.encode(): value.encode("latin-1") for name, value in refusal.headers.items()}
    answer = strict_server.client.request(refusal.method, "/predict", content=refusal.body, headers=headers)
    check_problem(answer.status_code, answer.headers, answer.content, refusal.status, refusal.where, refusal.says)
    assert refusal.status != 405 or answer.headers["allow"] == "POST"


@pytest.mark.parametrize(("name", "body", "kind"), GOOD, ids=[name for name, _, _ in GOOD])
def test_answer_in_process(app: FastAPI, name: str, body: bytes, kind: str) -> None:
    answer = call(app, body=body, headers={"Content-Type": kind})
    assert digits_in(answer) == WANTED
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(("name", "body", "kind"), GOOD, ids=[name for name, _, _ in GOOD])
def test_answer_over_the_socket(server: Server, name: str, body: bytes, kind: str) -> None:
    answer = server.client.post("/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert [prediction["digit"] for prediction in answer.json()["predictions"]] == WANTED


def test_the_document(app: FastAPI) -> None:
    document = call(app, body=as_json(PIXELS), headers=JSON).json()
    assert set(document) == {"model", "predictions"}
    assert document["model"] == {"name": "digits", "version": 2}
    for prediction in document["predictions"]:
        assert set(prediction) == {"digit", "confidence", "probabilities"}
        assert len(prediction["probabilities"]) == 10
        assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert prediction["confidence"] == max(prediction["probabilities"])
        assert prediction["confidence"] == prediction["probabilities"][prediction["digit"]]


def test_every_form_gets_the_same_numbers(app: FastAPI) -> None:
    exact = [(name, body, kind) for name, body, kind in GOOD if "fractions" not in name]
    answers = {name: call(app, body=body, headers={"Content-Type": kind}).json() for name, body, kind in exact}
    assert all(answer == answers["octets"] for answer in answers.values())


@pytest.mark.parametrize(
    "accept",
    ["text/csv", "text/csv; charset=utf-8", "text/csv, */*", "TEXT/CSV", "text/*", "*/*;q=0.1, text/csv;q=0.2"],
)
def test_csv_answer(app: FastAPI, accept: str) -> None:
    answer = call(app, body=as_json(PIXELS), headers=JSON | {"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [f"{i},{value}" for i, value in enumerate(WANTED, 1)]
    assert answer.body.decode() == "\n".join(["ImageId,Label", *rows, ""])


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "text/html, */*;q=0.8",
        "text/csv;q=0.1, application/json",
        "text/csv;q=0",
        "text/csvfoo",
        "text/csv;q=nonsense",
    ],
)
def test_json_answer(app: FastAPI, accept: str) -> None:
    answer = call(app, body=as_json(PIXELS), headers=JSON | {"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.slow
def test_kaggles_test_csv_over_the_socket(server: Server) -> None:
    """28,000 rows with their header line in, ImageId,Label out."""
    values = np.random.default_rng(0).integers(0, 10, 28_000)
    lines = [",".join(row) for row in np.where(np.arange(10) == np.arange(10)[:, None], "255", "0").tolist()]
    rest = ",0" * 774
    body = "\n".join([",".join(f"pixel{i}" for i in range(784)), *(lines[value] + rest for value in values)])
    answer = server.client.post(
        "/predict", content=body.encode(), headers={"Content-Type": "text/csv", "Accept": "text/csv"}
    )
    assert answer.status_code == 200
    assert answer.text.splitlines() == ["ImageId,Label", *(f"{i},{value}" for i, value in enumerate(values, 1))]


# -- pictures: their decoding is tested in test_images.py; here, that they come through the door ------------------


def picture(value: int) -> Image.Image:
    return Image.fromarray(on_paper(written()[value]))


def modes(value: int) -> dict[str, bytes]:
    """One real digit as pictures of many kinds."""
    paper = picture(value)
    ink = Image.fromarray(255 - np.asarray(paper))
    wide = Image.fromarray(np.asarray(paper).astype(np.uint16) * 257)
    clear = Image.merge("LA", (Image.new("L", paper.size, 0), ink))
    coloured = Image.merge("RGB", (paper, paper, paper))
    inked = Image.merge("RGBA", (Image.new("L", paper.size, 20), *(Image.new("L", paper.size, 90),) * 2, ink))
    blank = Image.new("L", paper.size, 255)
    return {
        "grey PNG": as_image(paper),
        "bright on dark": as_image(ink),
        "RGB PNG": as_image(coloured),
        "16-bit PNG": as_image(wide),
        "palette PNG": as_image(coloured.quantize(16)),
        "black and white PNG": as_image(paper.point(lambda pixel: 255 * (pixel > 128)).convert("1")),
        "grey with alpha": as_image(clear),
        "colour with alpha": as_image(inked),
        "JPEG": as_image(paper, "jpeg", quality=90),
        "CMYK JPEG": as_image(coloured.convert("CMYK"), "jpeg", quality=90),
        "WebP": as_image(coloured, "webp", lossless=True),
        "BMP": as_image(paper, "bmp"),
        "GIF": as_image(paper, "gif"),
        "TIFF": as_image(paper, "tiff"),
        "animated GIF": as_image(paper, "gif", save_all=True, append_images=[picture((value + 1) % 10), blank]),
        "tall": as_image(paper.resize((paper.width, 3 * paper.height)).resize((90, 270))),
    }


@pytest.mark.parametrize("kind", [kind for kind in modes(4) if kind != "tall"])
def test_picture(app: FastAPI, kind: str) -> None:
    for value in range(10):
        assert digits_in(call(app, body=modes(value)[kind], headers={"Content-Type": "image/png"})) == [value]


def test_pictures_over_the_socket(server: Server) -> None:
    for kind, body in modes(5).items():
        answer = server.client.post("/predict", content=body, headers={"Content-Type": "image/png"})
        assert answer.status_code == 200, kind
        if kind != "tall":
            assert answer.json()["predictions"][0]["digit"] == 5, kind


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_turned_photo_is_turned_back(app: FastAPI, orientation: int, undo: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for value in (2, 4, 7):
        upright = as_image(picture(value), "jpeg", quality=95, subsampling=0)
        turned = as_image(picture(value).transpose(undo), "jpeg", quality=95, subsampling=0, exif=exif)
        answers = [call(app, body=body, headers={"Content-Type": "image/jpeg"}) for body in (upright, turned)]
        assert digits_in(answers[0]) == digits_in(answers[1]) == [value]
        found = [answer.json()["predictions"][0]["probabilities"] for answer in answers]
        assert np.allclose(*found, atol=0.02)


@pytest.mark.parametrize("pixels", [digit(7, 1), digit(7, 255)], ids=["faint", "ink"])
def test_a_dark_28x28_picture_is_taken_bit_for_bit(app: FastAPI, pixels: np.ndarray[Any, Any]) -> None:
    answer = call(app, body=as_image(pixels), headers={"Content-Type": "image/png"})
    assert answer.status == 200
    assert answer.json() == call(app, body=as_json(pixels[None]), headers=JSON).json()


def test_the_label_of_a_picture_does_not_matter(app: FastAPI) -> None:
    for kind in ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff"):
        assert digits_in(call(app, body=as_image(digit(6)), headers={"Content-Type": kind})) == [6]


def test_multipart_keeps_the_order_of_files_and_passes_over_fields(app: FastAPI) -> None:
    files = [(f"{i}.png", as_image(digit(value))) for i, value in enumerate(WANTED)]
    body = as_multipart(files, [("note", "ignored"), ("file", "not a file")])
    assert digits_in(call(app, body=body, headers={"Content-Type": MULTIPART})) == WANTED


def test_multipart_over_the_socket_as_httpx_sends_it(server: Server) -> None:
    files = [("file", (f"{value}.png", as_image(digit(value)), "image/png")) for value in WANTED]
    answer = server.client.post("/predict", files=files)
    assert [prediction["digit"] for prediction in answer.json()["predictions"]] == WANTED


def test_as_many_files_as_allowed(strict_app: FastAPI) -> None:
    body = as_multipart([("a.png", as_image(digit(value))) for value in (1, 2, 3)])
    assert digits_in(call(strict_app, body=body, headers={"Content-Type": MULTIPART})) == [1, 2, 3]


def test_a_body_of_exactly_the_limit_is_taken(models_dir: Any) -> None:
    app = create_app(Settings(models_dir=models_dir, max_body_bytes=7840, max_instances=10))
    octets = {"Content-Type": "application/octet-stream"}
    assert len(digits_in(call(app, body=bytes(7840), headers=octets))) == 10
    assert call(app, body=bytes(7841), headers=octets).status == 413
    assert call(app, body=[bytes(7840), b"\0"], headers=octets).status == 413


def test_the_documented_route_answers_as_the_direct_one_does(app: FastAPI) -> None:
    """Mounted inside another application, the same handler runs as an ordinary FastAPI route."""
    mounted = Starlette(routes=[Mount("/digits", app)])
    for _, body, kind in GOOD:
        direct, routed = (
            call(app, body=body, headers={"Content-Type": kind}),
            call(mounted, path="/digits/predict", body=body, headers={"Content-Type": kind}),
        )
        assert (direct.status, direct.body) == (routed.status, routed.body)
        assert direct.headers["content-type"] == routed.headers["content-type"]
    for body in (b"hello", b"", as_json(np.full((1, 28, 28), 256))):
        direct, routed = (
            call(app, body=body, headers=JSON),
            call(mounted, path="/digits/predict", body=body, headers=JSON),
        )
        assert (direct.status, direct.body) == (routed.status, routed.body)
        assert routed.headers["content-type"] == "application/problem+json"


# -- many at once -----------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=120), min_size=1, max_size=25))
def test_concurrent_requests_get_their_own_rows(app: FastAPI, requests: list[list[int]]) -> None:
    async def all_at_once() -> list[Answer]:
        octets = {"Content-Type": "application/octet-stream"}
        return await asyncio.gather(*(acall(app, body=digits(*r).tobytes(), headers=octets) for r in requests))

    assert [digits_in(answer) for answer in asyncio.run(all_at_once())] == requests
    assert app.state.context.engine.admission.rows == 0


def test_a_bad_request_among_many_harms_nobody(app: FastAPI) -> None:
    async def all_at_once() -> list[Answer]:
        bodies = [as_json(digits(i % 10)) if i % 7 else b"hello" for i in range(70)]
        return await asyncio.gather(*(acall(app, body=body, headers=JSON) for body in bodies))

    for i, answer in enumerate(asyncio.run(all_at_once())):
        assert answer.status == 400 if i % 7 == 0 else digits_in(answer) == [i % 10]


def test_a_full_queue_is_a_503_at_once_and_clears(models_dir: Any) -> None:
    app = create_app(Settings(models_dir=models_dir, max_queue_rows=100))

    async def two_at_once() -> tuple[Answer, Answer, Answer]:
        octets = {"Content-Type": "application/octet-stream"}
        big, small = bytes(784 * 5000), bytes(784)
        first = asyncio.ensure_future(acall(app, body=big, headers=octets))
        await until(lambda: app.state.context.engine.admission.rows)
        refused = await acall(app, body=small, headers=octets)
        return await first, refused, await acall(app, body=small, headers=octets)

    first, refused, after = asyncio.run(two_at_once())
    assert (first.status, after.status) == (200, 200)
    problem = check_problem(refused.status, refused.headers, refused.body, 503)
    assert refused.headers["retry-after"].isdigit()
    assert "Try again" in problem["detail"]
    assert app.state.context.engine.admission.rows == 0


def test_the_work_of_a_disconnected_client_is_cancelled(app: FastAPI) -> None:
    """The client of a big request disconnects while it runs: no answer is sent, and the queue is soon empty."""

    async def leave() -> None:
        gone = asyncio.Event()
        octets = {"Content-Type": "application/octet-stream"}
        request = asyncio.ensure_future(acall(app, body=bytes(784 * 20_000), headers=octets, gone=gone))
        await until(lambda: app.state.context.engine.admission.rows)
        gone.set()
        await asyncio.wait([request], timeout=30)
        await until(lambda: not app.state.context.engine.admission.rows)

    asyncio.run(leave())


def test_probabilities_survive_the_trip(app: FastAPI) -> None:
    """The numbers on the wire are the model's own, to the last bit of a float32."""
    served = app.state.context.engine.served()
    expected = served.model.predict(PIXELS)
    found = np.array([p["probabilities"] for p in call(app, body=as_json(PIXELS), headers=JSON).json()["predictions"]])
    assert np.array_equal(found.astype(np.float32), expected)


def test_a_picture_in_base64_is_rejected_with_advice(app: FastAPI) -> None:
    """A common mistake of users of other services: not a digit, so 422 with advice."""
    text = base64.b64encode(as_image(digit(3))).decode()
    answer = call(app, body=b'{"instances": [{"b64": "%s"}]}' % text.encode(), headers=JSON)
    check_problem(answer.status, answer.headers, answer.body, 422, "instances[0]", "28 rows")
