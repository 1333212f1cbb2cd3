"""HTTP requests at random: for each kind a function from a Random to a request."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from tests.fuzz.mutations import changed, changed_document, odd, written
from tests.support.bodies import MULTIPART, as_csv, as_image, as_json, as_multipart, as_npy, on_paper
from tests.support.models import digit, digits
from tests.support.refusals import REFUSALS
from tests.support.v2 import LENGTH, behind, elements, tensor

ADMIN_KEY = "a key for the fuzz test"
KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}
JSON, CSV, NPY, RAW = "application/json", "text/csv", "application/x-npy", "application/octet-stream"
PAPER = on_paper(digit(3), 4)
PICTURES = [as_image(PAPER, kind) for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp")]
BODIES = [
    (JSON, as_json(digits(1, 2, 3))),
    (JSON, as_json(digits(4).reshape(1, 784))),
    (CSV, as_csv(digits(1, 2), header=True)),
    (CSV, as_csv(digits(3), end="\r\n")),
    (NPY, as_npy(digits(1, 2))),
    (NPY, as_npy(digits(1, 2).astype("<f8"))),
    (NPY, as_npy(digits(5).astype(">i4"))),
    (RAW, digits(1, 2, 3).tobytes()),
    (MULTIPART, as_multipart([("a.png", PICTURES[0]), ("b.jpg", PICTURES[1])])),
    (MULTIPART, as_multipart([("a.png", PICTURES[0])], [("x", "y")])),
    *zip(("image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff", "image/webp"), PICTURES, strict=True),
    *((refusal.kind, refusal.body) for refusal in REFUSALS if len(refusal.body) < 100_000),
]
GOOD = len(BODIES) - len([refusal for refusal in REFUSALS if len(refusal.body) < 100_000])
WHO = [  # keys of other services, and addresses that a trusted proxy passes on
    {"Authorization": "Bearer abc"},
    {"Authorization": "Basic \xff"},
    {"X-API-Key": "x" * 5000},
    {"X-Forwarded-For": "198.51.100.7, 2001:db8::1"},
    {"X-Forwarded-For": "[::1]:99999999999999999999, \xff,,"},
    {"X-Forwarded-Prefix": "/a/../b"},
]
KINDS = [kind for kind, _ in BODIES] + [JSON + "; charset=utf-16", "a/b", "", MULTIPART[:30], "\xff", ";", "text/plain"]
ACCEPTS = ["application/json", "text/csv", "*/*", "image/*;q=0", "text/csv;q=0.5, application/json;q=0.4", ",", "q=x"]
IDS = ["mine", "x" * 128, "x" * 129, "", "a b", "\xe9", "0"]
V2_INPUTS = [
    tensor(digits(1, 2)),
    tensor(digits(3).reshape(1, 784), data=digits(3).reshape(1, 784).tolist()),
    {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PICTURES[0]).decode()]},
]
B64 = {"b64": base64.b64encode(PICTURES[1]).decode()}
CARD_PATHS = ["", "/metadata", "/versions/1", "/versions/1/metadata", "/versions/2", "/labels/stable", "/labels/canary"]


@dataclass
class Request:
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def head(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in self.headers.items())]
        return "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode("latin-1")


def predict(dice: Random) -> Request:
    kind, body = dice.choice(BODIES[:GOOD] if dice.random() < 0.7 else BODIES)
    if dice.random() < 0.1:
        kind = dice.choice(KINDS)
    return _coded(dice, "/predict", kind, changed(dice, body, dice.choice((0, 0, 1, 1, 2, 5, 20))))


def pictures(dice: Random) -> Request:
    """The heads of picture files are short: most changes go there."""
    place = dice.randrange(len(PICTURES))
    data, size = PICTURES[place], dice.choice((40, 200, 10**6))
    return _coded(
        dice, "/predict", BODIES[10 + place][0], changed(dice, data[:size], dice.randrange(1, 6)) + data[size:]
    )


def v2(dice: Random) -> Request:
    one = dice.choice(V2_INPUTS)
    more: dict[str, Any] = {"id": "x", "parameters": {"binary_data_output": dice.random() < 0.5}}
    more["outputs"] = [{"name": "probabilities", "parameters": {"classification": dice.choice((1, 10))}}]
    document = {"inputs": [one]} | {key: more[key] for key in more if dice.random() < 0.3}
    path = f"/v2/models/{_name(dice)}{dice.choice(('', '', '/versions/1', '/versions/' + _text(dice)))}/infer"
    if dice.random() < 0.4:
        data = digits(1, 2).tobytes() if dice.random() < 0.5 else elements(*PICTURES[:2])
        shape = [2, 784] if len(data) == 1568 else [2]
        kind = {"datatype": "UINT8", "name": "pixels"} if len(data) == 1568 else {"datatype": "BYTES", "name": "image"}
        body, headers = behind({**kind, "shape": shape}, changed(dice, data, dice.choice((0, 1, 3))))
        if dice.random() < 0.3:
            headers[LENGTH] = str(odd(dice))[:100].encode("ascii", "replace").decode().replace("\0", "")
        return Request("POST", path, changed(dice, body, dice.choice((0, 0, 1, 3))), headers)
    body = written(dice, changed_document(dice, document, dice.choice((0, 1, 1, 2, 4))))
    return _coded(dice, path, JSON, body)


def v1(dice: Random) -> Request:
    rows = dice.choice((digits(1, 2).tolist(), digits(3).reshape(1, 784).tolist(), [B64, {"pixels": B64}], [B64]))
    verb = dice.choice(("predict", "predict", "classify", "regress", "x"))
    whole = {"instances": rows} if dice.random() < 0.6 else {"inputs": rows}
    document = whole | dice.choice(
        ({}, {"signature_name": "serving_default"}, {"context": {}, "examples": [{"x": rows}]})
    )
    path = f"/v1/models/{_name(dice)}{dice.choice(CARD_PATHS)}:{verb}"
    return _coded(dice, path, JSON, written(dice, changed_document(dice, document, dice.choice((0, 1, 1, 2, 4)))))


def feedback(dice: Random) -> Request:
    document: dict[str, Any] = {"label": dice.randrange(10)}
    if dice.random() < 0.5:
        document["digit"] = dice.choice((digit(3).tolist(), digit(4).ravel().tolist()))
    else:
        document |= {"request_id": dice.choice(IDS), "index": dice.choice((0, 0, 1, 2**63))}
    body = written(dice, changed_document(dice, document, dice.choice((0, 0, 1, 1, 2, 4))))
    return _coded(dice, "/feedback", JSON, body)


def reads(dice: Random) -> Request:
    """Everything that has no body, and paths that nobody serves."""
    name, version = _name(dice), dice.choice(("1", "2", "999", _text(dice)))
    paths = [
        "/",
        "/model",
        "/models",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/feedback/stats",
        "/drift",
        "/health/live",
    ]
    paths += [
        "/health/ready",
        f"/models/{name}",
        f"/models/{name}/versions/{version}",
        f"/v1/models/{name}",
        "/static/x",
    ]
    paths += [f"/v1/models/{name}{more}" for more in CARD_PATHS] + ["/v2", "/v2/health/ready", "/v2/models/stats"]
    paths += [f"/v2/models/{name}{more}" for more in ("", "/ready", "/config", "/stats", f"/versions/{version}/stats")]
    path = dice.choice(paths) + dice.choice(("", "", "", "/", "?" + _text(dice), "?a=" + _text(dice), "//", "/.."))
    method = dice.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "QUERY"))
    headers = {"Accept": dice.choice(ACCEPTS), "Accept-Encoding": dice.choice(("gzip", "*;q=0", "br", "identity;q=0"))}
    return Request(method, path, b"", headers)


def admin(dice: Random) -> Request:
    """With the key or without, good bodies and bad ones: promotions, rollouts, rollbacks, loading and unloading."""
    name = _name(dice)
    version = dice.choice(("1", "1", "2", "2", "3", "stable", _text(dice)))
    calls: dict[str, dict[str, Any] | None] = {
        f"/models/{name}/versions/{version}/promote": None,
        f"/models/{name}/versions/{version}/promote?a={_text(dice)}": None,
        f"/models/{name}/rollback": None,
        f"/v2/repository/models/{name}/load": {"parameters": {"config": "{}"}},
        f"/v2/repository/models/{name}/unload": {"parameters": {"unload_dependents": False}},
        "/v2/repository/index": {"ready": dice.random() < 0.5},
    }
    path = dice.choice(list(calls))
    document, body = calls[path], b""
    if document is not None and dice.random() < 0.8:
        body = written(dice, changed_document(dice, document, dice.choice((0, 0, 0, 1, 2))))
    headers = {"Content-Type": JSON} | dice.choice(({}, *[KEY] * 4))
    method = dice.choice(("POST", "POST", "POST", "DELETE", "GET"))
    return Request(method, quote(path, safe="/?=&%:.,-_~!*'()"), body, headers)


KINDS_OF_REQUESTS: dict[str, Callable[[Random], Request]] = {
    "bodies of every kind to /predict": predict,
    "pictures": pictures,
    "Open Inference Protocol (V2)": v2,
    "TensorFlow Serving (V1)": v1,
    "feedback": feedback,
    "reads, and paths that nobody serves": reads,
}


def _coded(dice: Random, path: str, kind: str | None, body: bytes) -> Request:
    """The request, now and then with a body that is compressed, or damaged after that, and with more headers."""
    headers = {"Content-Type": kind} if kind else {}
    if dice.random() < 0.1:
        coding = dice.choice(("gzip", "deflate", "gzip, gzip", "br", "identity", "\xff"))
        body = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding, bytes)(body)
        body = changed(dice, body, dice.choice((0, 0, 1, 3)))
        headers["Content-Encoding"] = coding
    if dice.random() < 0.2:
        headers |= dice.choice(({"Accept": dice.choice(ACCEPTS)}, {"X-Request-Id": dice.choice(IDS)}))
    if dice.random() < 0.1:
        headers |= dice.choice(WHO)
    return Request("POST", path, body, headers)


def _name(dice: Random) -> str:
    return "digits" if dice.random() < 0.9 else dice.choice(("other", _text(dice)))


def _text(dice: Random) -> str:
    """Something that stands in a path or in a query: escapes, bytes that are no UTF-8, long ones."""
    raw = str(odd(dice)).encode("utf-8", "surrogatepass")[:300]
    return quote(changed(dice, raw, dice.choice((0, 1))), safe=dice.choice(("", "/", "/:@+,;")))
