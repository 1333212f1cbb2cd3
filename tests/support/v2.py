"""Requests and answers of the Open Inference Protocol, built without a client library, and a model with two outputs."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.repository.writer import RepositoryWriter
from tests.support.models import card_for, classifier
from tests.support.refusals import LEAKS
from tests.support.server import Server
from tests.support.workers import worker_of

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/digits/infer"
Array = NDArray[Any]


def tensor(pixels: Array, **changes: Any) -> dict[str, Any]:
    """The input `pixels` with flat data. A change to None leaves that key out."""
    made = {"name": "pixels", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.ravel().tolist()}
    return {key: value for key, value in (made | changes).items() if value is not None}


def document(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def binary(pixels: Array, **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request whose pixels follow the JSON, and its headers."""
    return behind(tensor(pixels, data=None), pixels.tobytes(), **more)


def behind(one: dict[str, Any], data: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request for the input `one` whose data follow the JSON, and its headers."""
    head = document(one | {"parameters": {"binary_data_size": len(data)}}, **more)
    return head + data, {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}


def elements(*files: bytes) -> bytes:
    """A BYTES tensor."""
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


@dataclass
class Output:
    datatype: str
    shape: list[int]
    values: Any


def outputs(body: bytes, headers: Mapping[str, str]) -> dict[str, Output]:
    """Every output of an answer, from JSON or binary data; fails if bytes are left over."""
    size = int(headers.get(LENGTH.lower(), len(body)))
    document, rest = json.loads(body[:size]), body[size:]
    found = {}
    for one in document["outputs"]:
        if "data" in one:
            assert "parameters" not in one
            values = np.array(one["data"]).reshape(one["shape"])
        else:
            length = one["parameters"]["binary_data_size"]
            data, rest = rest[:length], rest[length:]
            values = np.array(texts(data) if one["datatype"] == "BYTES" else np.frombuffer(data, "<f4"))
            values = values.reshape(one["shape"])
        found[one["name"]] = Output(one["datatype"], one["shape"], values)
    assert not rest
    assert (LENGTH.lower() in headers) == (size < len(body))
    return found


def classes(body: bytes, headers: Mapping[str, str]) -> list[int]:
    """The most probable class of each digit of an answer."""
    found: list[int] = outputs(body, headers)["probabilities"].values.argmax(axis=1).tolist()
    return found


def check_error(status: int, headers: Mapping[str, str], body: bytes, wanted: int, says: str = "") -> str:
    """Checks every error under /v2: one sentence, and nothing about this machine."""
    assert status == wanted, body[:500]
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    assert len(body) < 2000
    assert not LEAKS.search(body), body
    said = json.loads(body)
    assert list(said) == ["error"]
    sentence: str = said["error"]
    assert len(sentence) > 15
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert says in sentence, sentence
    return sentence


def answered_by(server: Server, path: str, body: bytes) -> tuple[int, int]:
    """POST over a new connection: the status, and which worker it was that accepted it."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.connect()
        connection.request("POST", path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.status, worker_of(server, local_port=connection.sock.getsockname()[1])


def over_a_new_connection(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request on a new connection, which any of several workers may accept: status, headers and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def with_lecture_output(shift: int = 0) -> bytes:
    """`classifier(shift)` with the lecture's second output: each probability spread evenly over its row of 10 cells."""
    model = onnx.load_from_string(classifier(shift))
    graph = model.graph
    graph.node.append(helper.make_node("Reshape", ["shares", "column"], ["columns"]))
    graph.node.append(helper.make_node("MatMul", ["columns", "tenths"], ["cells"]))
    graph.node.append(helper.make_node("Reshape", ["cells", "lecture"], ["lecture_output"]))
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 10, 1], np.int64), "column"))
    graph.initializer.append(numpy_helper.from_array(np.full((1, 10), 0.1, np.float32), "tenths"))
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 10, 10, 1], np.int64), "lecture"))
    graph.output.append(helper.make_tensor_value_info("lecture_output", TensorProto.FLOAT, ["N", 10, 10, 1]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def publish_with_lecture_output(root: Path, shift: int = 0, name: str = "digits", promote: bool = True) -> int:
    """Publish such a model, with its classes and outputs in the card."""
    data = with_lecture_output(shift)
    outputs = [{"name": "probabilities"}, {"name": "lecture_output"}]
    card = card_for(data) | {"classes": [str(i) for i in range(10)], "outputs": outputs}
    version = RepositoryWriter(root).publish(name, lambda _: data, card)
    if promote:
        RepositoryWriter(root).promote(name, version)
    return version


def texts(data: bytes) -> list[str]:
    """The elements of a BYTES tensor: each follows its length in four bytes."""
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:end].decode())
        data = data[end:]
    return found
