"""Request formats: digits to a body and its headers, and an answer's bytes to probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.harness.digits import Pixels, png

Probabilities = NDArray[np.float64]
Body = tuple[bytes, dict[str, str]]
Decoder = Callable[[bytes, Mapping[str, str]], Probabilities]

BOUNDARY = "digit-boundary-7f3a"


@dataclass(frozen=True)
class Form:
    """One request format of one server.

    Attributes:
        name: its name in tables.
        path: the URL path that it is posted to.
        encode: pixels, uint8 (n, 28, 28), to the body and its headers.
        decode: the answer's body and headers to probabilities, float64 (n, 10).
    """

    name: str
    path: str
    encode: Callable[[Pixels], Body]
    decode: Decoder


def json_body(pixels: Pixels) -> Body:
    """{"instances": [28 rows of 28, …]}, without spaces."""
    return orjson.dumps({"instances": pixels.tolist()}), {"Content-Type": "application/json"}


def png_body(pixels: Pixels) -> Body:
    return png(pixels[0]), {"Content-Type": "image/png"}


def raw_body(pixels: Pixels) -> Body:
    return pixels.tobytes(), {"Content-Type": "application/octet-stream"}


def file_body(pixels: Pixels) -> Body:
    """The PNG as field `file` of a multipart form, as a browser sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="digit.png"\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + png(pixels[0]) + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def v2_body(pixels: Pixels) -> Body:
    """Open Inference Protocol with a JSON tensor."""
    tensor = _tensor(pixels) | {"data": pixels.ravel().tolist()}
    return orjson.dumps({"inputs": [tensor]}), {"Content-Type": "application/json"}


def v2_binary_body(pixels: Pixels) -> Body:
    """Open Inference Protocol with binary tensors in request and answer."""
    tensor = _tensor(pixels) | {"parameters": {"binary_data_size": pixels.nbytes}}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    header = orjson.dumps({"inputs": [tensor], "outputs": outputs})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
    return header + pixels.tobytes(), headers


def predictions(body: bytes, _: Mapping[str, str]) -> Probabilities:
    """The answer of the service and of the tutorial. Raises ValueError where a digit is not the most probable one."""
    rows = orjson.loads(body)["predictions"]
    found = _rows([row["probabilities"] for row in rows])
    if [row["digit"] for row in rows] != found.argmax(axis=1).tolist():
        raise ValueError("an answer's digit is not its most probable one")
    return found


def probabilities(body: bytes, _: Mapping[str, str]) -> Probabilities:
    answer = orjson.loads(body)
    return _rows(answer["probabilities"] if isinstance(answer, dict) else answer)


def v2(body: bytes, _: Mapping[str, str]) -> Probabilities:
    return _rows(orjson.loads(body)["outputs"][0]["data"])


def v2_binary(body: bytes, headers: Mapping[str, str]) -> Probabilities:
    return _rows(np.frombuffer(body[int(headers["Inference-Header-Content-Length"]) :], np.float32))


def answer_bytes(expected: Probabilities, model: str, version: int) -> int:
    """Length of the service's answer to these digits; the ceiling answers as much."""
    rows = [{"digit": int(r.argmax()), "confidence": r.max(), "probabilities": r} for r in expected.astype(np.float32)]
    answer = {"model": {"name": model, "version": version}, "predictions": rows}
    return len(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


def _tensor(pixels: Pixels) -> dict[str, Any]:
    return {"name": "pixels", "shape": [len(pixels), 28, 28, 1], "datatype": "UINT8"}


def _rows(numbers: Any) -> Probabilities:
    return np.asarray(numbers, np.float64).reshape(-1, 10)
