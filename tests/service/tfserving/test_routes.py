"""TensorFlow Serving's routes :predict, :classify and :regress over sockets, as its documentation shows them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.bodies import as_image, on_paper
from tests.support.models import digit, digits, publish, written
from tests.support.refusals import LEAKS, LIMITS, NOISE
from tests.support.server import Server

PREDICT = "/v1/models/digits:predict"
CLASSIFY = "/v1/models/digits:classify"
WANTED = [3, 1, 4, 1, 5, 9, 2, 6]


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def classes(rows: list[list[float]]) -> list[int]:
    assert all(len(row) == 10 and abs(sum(row) - 1) < 1e-5 for row in rows)
    return [int(np.argmax(row)) for row in rows]


def ask(server: Server, document: Any, path: str = PREDICT) -> Any:
    answer = server.client.post(path, json=document)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_as_the_tutorial_of_tensorflow_serving_calls_it(server: Server) -> None:
    images = digits(*WANTED)[..., np.newaxis]
    data = json.dumps({"signature_name": "serving_default", "instances": images.tolist()})
    answer = requests.post(server.url + PREDICT, data=data, headers={"content-type": "application/json"}, timeout=30)
    assert classes(json.loads(answer.text)["predictions"]) == WANTED
    assert list(answer.json()) == ["predictions"]


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
@pytest.mark.parametrize("count", [1, 8, 64, 65, 200])
def test_row_format_takes_every_shape_of_a_digit(server: Server, shape: tuple[int, ...], count: int) -> None:
    wanted = [value % 10 for value in range(count)]
    instances = digits(*wanted).reshape(-1, *shape).tolist()
    assert classes(ask(server, {"instances": instances})["predictions"]) == wanted
    named = [{"pixels": instance} for instance in instances]
    assert classes(ask(server, {"instances": named})["predictions"]) == wanted


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
def test_column_format(server: Server, shape: tuple[int, ...]) -> None:
    column = digits(*WANTED).reshape(-1, *shape).tolist()
    for inputs in (column, {"pixels": column}):
        answer = ask(server, {"inputs": inputs})
        assert list(answer) == ["outputs"]
        assert classes(answer["outputs"]) == WANTED


def test_pictures_in_base64(server: Server) -> None:
    pictures = {value: as_image(on_paper(ink)) for value, ink in written().items()}
    found = [b64(picture) for picture in pictures.values()]
    assert classes(ask(server, {"instances": found})["predictions"]) == list(pictures)
    assert classes(ask(server, {"instances": [{"image": p} for p in found]})["predictions"]) == list(pictures)
    assert classes(ask(server, {"inputs": {"image": found}})["outputs"]) == list(pictures)
    assert classes(ask(server, {"inputs": {"image": found[4]}})["outputs"]) == [4]
    assert classes(ask(server, {"inputs": found[4]})["outputs"]) == [4]
    answer = ask(server, {"examples": [{"image": found[7]}]}, CLASSIFY)
    assert max(answer["results"][0], key=lambda pair: pair[1])[0] == "7"


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_base64_as_other_tools_write_it(server: Server, end: str) -> None:
    """In lines of 76 characters, as `base64` and Python's encodebytes do, and without its padding."""
    text = base64.b64encode(as_image(on_paper(written()[7]))).decode().rstrip("=")
    lines = end.join(text[i : i + 76] for i in range(0, len(text), 76)) + end
    assert classes(ask(server, {"instances": [{"b64": lines}]})["predictions"]) == [7]


def test_pictures_and_digits_keep_their_order(server: Server) -> None:
    instances = [digit(1).tolist(), b64(as_image(digit(2))), {"pixels": digit(3)[..., None].tolist()}] * 30
    assert classes(ask(server, {"instances": instances})["predictions"]) == [1, 2, 3] * 30


def test_the_numbers_are_those_of_predict(server: Server) -> None:
    instances = digits(*WANTED).tolist()
    plain = server.client.post("/predict", json={"instances": instances}).json()["predictions"]
    assert ask(server, {"instances": instances})["predictions"] == [one["probabilities"] for one in plain]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json", "application/x-www-form-urlencoded"])
def test_no_content_type_is_required(server: Server, kind: str | None) -> None:
    body = json.dumps({"instances": [digit(5).tolist()]}).encode()
    headers = {"Content-Type": kind} if kind else {}
    answer = httpx.post(server.url + PREDICT, content=body, headers=headers, timeout=60)
    assert classes(answer.json()["predictions"]) == [5]


def test_another_model_by_its_name(server: Server) -> None:
    answer = ask(server, {"instances": [digit(5).tolist()]}, "/v1/models/shifted:predict")
    assert classes(answer["predictions"]) == [6]


def test_classify_gives_pairs_of_label_and_score(server: Server) -> None:
    examples = [{"pixels": picture.reshape(784).tolist()} for picture in digits(*WANTED)]
    answer = ask(server, {"signature_name": "serving_default", "examples": examples}, CLASSIFY)
    assert list(answer) == ["results"]
    assert [[label for label, _ in pairs] for pairs in answer["results"]] == [list("0123456789")] * len(WANTED)
    assert classes([[score for _, score in pairs] for pairs in answer["results"]]) == WANTED


def test_classify_fills_examples_from_the_context(server: Server) -> None:
    context = {"pixels": digit(4).tolist()}
    answer = ask(server, {"context": context, "examples": [{}, {"pixels": digit(5).tolist()}]}, CLASSIFY)
    assert classes([[score for _, score in pairs] for pairs in answer["results"]]) == [4, 5]


def test_an_answer_is_remembered_for_feedback(server: Server) -> None:
    server.client.post(PREDICT, json={"instances": [digit(8).tolist()]}, headers={"x-request-id": "v1-eight"})
    kept = server.client.post("/feedback", json={"request_id": "v1-eight", "label": 8})
    assert (kept.status_code, kept.json()["predicted"]) == (201, 8)


# -- versions and labels ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Version 1 is served, version 2, whose answers are one higher, is a canary that gets 0 % of requests."""
    root: Path = tmp_path_factory.mktemp("on-trial")
    publish(root)
    publish(root, shift=1, promote=False)
    publish(root, shift=2, promote=False)
    RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=0))
    with Server(root, feedback_path=root / "feedback.sqlite") as running:
        while running.client.get("/v1/models/digits/labels/canary").status_code == 404:
            assert running.process.poll() is None
        yield running


@pytest.mark.parametrize(
    ("path", "shift"), [("", 0), ("/versions/1", 0), ("/versions/2", 1), ("/labels/stable", 0), ("/labels/canary", 1)]
)
def test_versions_and_labels(on_trial: Server, path: str, shift: int) -> None:
    wanted = [(value + shift) % 10 for value in WANTED]
    instances = digits(*WANTED).tolist()
    answer = ask(on_trial, {"instances": instances}, f"/v1/models/digits{path}:predict")
    assert classes(answer["predictions"]) == wanted
    answer = ask(on_trial, {"examples": [{"pixels": i} for i in instances]}, f"/v1/models/digits{path}:classify")
    assert classes([[score for _, score in pairs] for pairs in answer["results"]]) == wanted


@pytest.mark.parametrize(
    "path", ["/versions/3", "/versions/99", "/versions/0", "/versions/" + "9" * 5000, "/labels/nothing", "/labels/3"]
)
def test_a_version_that_does_not_answer_is_404(on_trial: Server, path: str) -> None:
    for call in ("", "/metadata"):
        refused(on_trial.client.get(f"/v1/models/digits{path}{call}"), 404, "1 (stable) and 2 (canary)")
    refused(on_trial.client.post(f"/v1/models/digits{path}:predict", content=b""), 404, "1 (stable)")


# -- refusals ---------------------------------------------------------------------------------------------------


def refused(answer: httpx.Response, status: int, says: str = "") -> None:
    """Check TensorFlow Serving's error form: one sentence that reveals nothing about the server."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert says in answer.json()["error"]
    assert answer.json()["error"].endswith(".")
    assert not LEAKS.search(answer.content)


BLANK = np.zeros((28, 28), int).tolist()
BAD: list[tuple[str, Any, str]] = [
    ("nothing asked", {}, "instances"),
    ("both formats", {"instances": [BLANK], "inputs": [BLANK]}, "either"),
    ("unknown signature", {"signature_name": "other", "instances": [BLANK]}, "serving_default"),
    ("signature a number", {"signature_name": 1, "instances": [BLANK]}, "serving_default"),
    ("a list", [BLANK], "JSON object"),
    ("null", None, "JSON object"),
    ("instances empty", {"instances": []}, "at least one"),
    ("instances a number", {"instances": 5}, "instances must be a list"),
    ("instances an object", {"instances": {"pixels": BLANK}}, "instances must be a list"),
    ("instances null", {"instances": None}, "instances must be a list"),
    ("inputs empty", {"inputs": []}, "inputs must be a list"),
    ("inputs of another name", {"inputs": {"image0": [BLANK]}}, "inputs must be"),
    ("inputs of two names", {"inputs": {"pixels": [BLANK], "image": []}}, "inputs must be"),
    ("pixels empty", {"inputs": {"pixels": []}}, "inputs.pixels must be a list"),
    ("pixels null", {"inputs": {"pixels": None}}, "inputs.pixels"),
    ("27 rows", {"instances": [BLANK, BLANK[:-1]]}, "instances[1] has 27"),
    ("27 rows in a column", {"inputs": [BLANK, BLANK[:-1]]}, "inputs[1] has 27"),
    ("27 rows in a named column", {"inputs": {"pixels": [BLANK, BLANK[:-1]]}}, "inputs.pixels[1] has 27"),
    ("27 rows in an example", {"examples": [{"pixels": BLANK[:-1]}]}, "examples[0] has 27"),
    ("bad digit behind 100", {"instances": [BLANK] * 100 + [[0]]}, "instances[100]"),
    ("two channels", {"instances": [[[[0, 0]] * 28] * 28]}, "instances[0]"),
    ("ragged channels", {"instances": [[[[0]] * 28] * 27 + [[0] * 28]]}, "instances[0]"),
    ("empty digit", {"instances": [[]]}, "instances[0]"),
    ("empty row", {"instances": [[[]]]}, "instances[0]"),
    ("empty channel", {"instances": [[[[]]]]}, "instances[0]"),
    ("pixel 256", {"instances": [[256] * 784]}, "instances[0][0] is 256"),
    ("pixel -1", {"instances": [[-1] * 784]}, "instances[0][0]"),
    ("pixel text", {"instances": [["0"] * 784]}, "instances[0][0] is text"),
    ("divided by 255", {"instances": [[0.5] * 784]}, "divided by 255"),
    ("text", {"instances": ["0" * 784]}, "instances[0]"),
    ("another key", {"instances": [{"image0": BLANK}]}, "instances[0] is not a digit"),
    ("two keys", {"instances": [{"pixels": BLANK, "key": 1}]}, "instances[0] is not a digit"),
    ("empty object", {"instances": [{}]}, "instances[0] is not a digit"),
    ("image without b64", {"instances": [{"image": "x"}]}, "instances[0] is not a digit"),
    ("b64 a number", {"instances": [{"b64": 5}]}, "The b64 of instances[0]"),
    ("b64 of nothing", {"instances": [{"b64": "!"}]}, "The b64 of instances[0]"),
    ("b64 not ASCII", {"instances": [{"b64": "ä"}]}, "The b64 of instances[0]"),
    ("b64 empty", {"instances": [{"b64": ""}]}, "empty"),
    ("b64 of a cut picture", {"instances": [b64(NOISE[:4000])]}, ""),
    ("examples a list of digits", {"examples": [BLANK]}, "examples"),
    ("examples missing", {"context": {}}, "examples"),
    ("context a list", {"context": [], "examples": []}, "examples"),
]


@pytest.mark.parametrize(("name", "document", "says"), BAD, ids=[name for name, _, _ in BAD])
def test_bad_requests_are_400_and_say_where(server: Server, name: str, document: Any, says: str) -> None:
    classify = isinstance(document, dict) and {"examples", "context"} & document.keys()
    refused(server.client.post(CLASSIFY if classify else PREDICT, content=json.dumps(document)), 400, says)


@pytest.mark.parametrize("body", [b"", b"hello", b'{"instances": [', b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_400(server: Server, body: bytes) -> None:
    for path in (PREDICT, CLASSIFY, "/v1/models/digits/versions/2:predict"):
        refused(server.client.post(path, content=body), 400, "not JSON")


def test_a_file_that_is_not_a_picture_is_415(server: Server) -> None:
    refused(server.client.post(PREDICT, json={"instances": [b64(b"hello there")]}), 415)


def test_too_much_is_413(strict_server: Server) -> None:
    many = {"instances": np.zeros((LIMITS["max_instances"] + 1, 784), int).tolist()}
    refused(strict_server.client.post(PREDICT, json=many), 413, "1001 digits")
    pictures = {"instances": [b64(as_image(digit(1)))] * (LIMITS["max_files"] + 1)}
    refused(strict_server.client.post(PREDICT, json=pictures), 413, "At most 3 pictures")
    refused(strict_server.client.post(PREDICT, content=bytes(LIMITS["max_body_bytes"] + 1)), 413, "4,000,000 bytes")


def test_regress_is_400_and_says_what_to_use(server: Server) -> None:
    answer = server.client.post("/v1/models/digits:regress", json={"examples": [{"pixels": BLANK}]})
    refused(answer, 400, "not supported")


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable"])
def test_an_unknown_model_is_404(server: Server, path: str) -> None:
    refused(server.client.post(f"/v1/models/nothing{path}:predict", json={"instances": [BLANK]}), 404, "served: ")
    refused(server.client.get(f"/v1/models/nothing{path}"), 404)
    refused(server.client.get(f"/v1/models/nothing{path}/metadata"), 404)


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/models/", "/v1/models/digits:explain", "/v1/models/digits/versions/x:predict"]
)
def test_nothing_there_is_404(server: Server, path: str) -> None:
    refused(server.client.post(path, json={}), 404)
    refused(server.client.get(path.replace(":predict", "")), 404)


@pytest.mark.parametrize(
    "path", [PREDICT, CLASSIFY, "/v1/models/digits/versions/2:predict", "/v1/models/digits/labels/stable:predict"]
)
def test_a_wrong_method_is_405_with_allow(server: Server, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = server.client.request(method, path)
        refused(answer, 405, "POST")
        assert answer.headers["allow"] == "POST"
    refused(server.client.post("/v1/models/digits"), 405, "GET")
