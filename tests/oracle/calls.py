"""The calls made to a real Triton server and to the service: good and bad V2 requests over HTTP and gRPC, as data.

The model is `digits`, published twice: version 2 is served, version 1 is not. Both servers hold the same ONNX file,
`classifier()` of tests/support/models.py, whose ten logits are 20/255 of the first ten pixels.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ADMIN_KEY = "a key for the oracle"  # Triton needs no key


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A digit, uint8 (28, 28, 1), for which several classes get probabilities well above 0."""
    pixels = np.zeros((28, 28, 1), np.uint8)
    pixels[0, :10, 0] = np.random.default_rng(seed).integers(0, 40, 10)
    pixels[9:20, 13, 0] = 200
    return pixels


ONE = picture(1)[None]
THREE = np.stack([picture(seed) for seed in (1, 2, 3)])
INFER = "/v2/models/digits/infer"
GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}


@dataclass(frozen=True)
class Http:
    """One HTTP request."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grpc:
    """One call of GRPCInferenceService; `requests` as JSON, several only for a stream."""

    name: str
    rpc: str
    requests: tuple[dict[str, Any], ...] = ({},)


# -- HTTP: bodies ----------------------------------------------------------------------------------------


def tensor(pixels: Any = ONE, **changes: Any) -> dict[str, Any]:
    """The input `pixels`; a change to None removes that key."""
    array = np.asarray(pixels)
    made = {"name": "pixels", "shape": list(array.shape), "datatype": "UINT8", "data": array.reshape(-1).tolist()}
    return {key: value for key, value in (made | changes).items() if value is not None}


def document(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs or [tensor()]), **more}).encode()


def infer(name: str, *inputs: Any, headers: dict[str, str] | None = None, path: str = INFER, **more: Any) -> Http:
    return Http(name, "POST", path, document(*inputs, **more), headers or {})


def binary(name: str, pixels: Any = ONE, length: str = "", size: Any = None, tail: bytes = b"", **more: Any) -> Http:
    """A request with its tensor as bytes after the JSON. `length` overrides the header, `size` binary_data_size."""
    data = pixels.tobytes()
    head = document(
        tensor(pixels, data=None, parameters={"binary_data_size": len(data) if size is None else size}), **more
    )
    header = {"Inference-Header-Content-Length": length or str(len(head))}
    return Http(name, "POST", INFER, head + data + tail, header | {"Content-Type": "application/octet-stream"})


def data(name: str, values: Any) -> Http:
    """One digit with this value as `data`."""
    return infer(name, tensor(data=values))


def with_first(value: Any) -> list[Any]:
    return [value, *ONE.reshape(-1).tolist()[1:]]


def shape(name: str, *sizes: Any) -> Http:
    return infer(name, tensor(shape=list(sizes)))


def want(name: str, *outputs: Any, **more: Any) -> Http:
    return infer(name, outputs=list(outputs), **more)


def output(**parameters: Any) -> dict[str, Any]:
    return {"name": "probabilities", "parameters": parameters}


def raw(name: str, text: bytes, **headers: str) -> Http:
    return Http(name, "POST", INFER, text, {key.replace("_", "-"): value for key, value in headers.items()})


def get(path: str, method: str = "GET", body: bytes = b"") -> Http:
    return Http(f"{method} {path}" + (f" {body.decode()}" if body else ""), method, path, body)


def admin(path: str, body: bytes = b"") -> Http:
    return Http(f"POST {path}", "POST", path, body, {"Authorization": f"Bearer {ADMIN_KEY}"})


HTTP = [
    # -- the server --------------------------------------------------------------------------------------------
    get("/v2"),
    get("/v2/"),
    get("/v2/health/live"),
    get("/v2/health/ready"),
    get("/v2", "POST"),
    get("/v2/health/live", "POST"),
    get("/v2/nothing"),
    get("/v2/models"),
    get("/v2/logging"),
    get("/v2/trace/setting"),
    get("/v2/systemsharedmemory/status"),
    get("/v2/cudasharedmemory/status"),
    # -- a model -----------------------------------------------------------------------------------------------
    *[
        get(f"/v2/models/{model}{rest}")
        for rest in ("", "/ready", "/config", "/stats")
        for model in (
            "digits",
            "digits/versions/2",
            "digits/versions/1",
            "digits/versions/99",
            "digits/versions/x",
            "digits/versions/-1",
            "nothing",
        )
    ],
    get("/v2/models/stats"),
    get("/v2/models/digits", "POST"),
    get("/v2/models/digits/ready", "POST"),
    get("/v2/models/digits/config", "POST"),
    get("/v2/models/digits/stats", "POST"),
    get("/v2/models/digits/nothing"),
    # -- the repository ----------------------------------------------------------------------------------------
    get("/v2/repository/index", "POST"),
    get("/v2/repository/index", "POST", b"{}"),
    get("/v2/repository/index", "POST", b'{"ready": true}'),
    get("/v2/repository/index", "POST", b'{"ready": 1}'),
    get("/v2/repository/index", "POST", b"hello"),
    get("/v2/repository/index", "POST", b"[]"),
    get("/v2/repository/index"),
    get("/v2/repository/models/digits/load"),
    admin("/v2/repository/models/digits/load"),
    admin("/v2/repository/models/nothing/load"),
    admin("/v2/repository/models/nothing/unload"),
    # -- infer, JSON, good -------------------------------------------------------------------------------------
    infer("JSON, flat"),
    data("JSON, nested", ONE.tolist()),
    infer("JSON, three digits", tensor(THREE)),
    infer("JSON, a version", path="/v2/models/digits/versions/2/infer"),
    infer("JSON, an id", id="42"),
    infer("JSON, an empty id", id=""),
    infer("JSON, parameters", parameters={"note": "x", "n": 1, "on": True, "half": 0.5}),
    infer("JSON, input parameters", tensor(parameters={"note": "x"})),
    infer("JSON, an unknown key", surprise=1),
    infer("JSON, text/plain", headers={"Content-Type": "text/plain"}),
    infer("JSON, Accept text/html", headers={"Accept": "text/html"}),
    want("outputs named", {"name": "probabilities"}),
    want("outputs empty"),
    want("binary output", output(binary_data=True)),
    want("no binary output", output(binary_data=False)),
    infer("all outputs binary", parameters={"binary_data_output": True}),
    want("all binary but this", output(binary_data=False), parameters={"binary_data_output": True}),
    want("classification 3", output(classification=3)),
    want("classification 1", output(classification=1)),
    want("classification 20", output(classification=20)),
    want("classification 0", output(classification=0)),
    infer("classification of three", tensor(THREE), outputs=[output(classification=2)]),
    want("classification, binary", output(classification=2, binary_data=True)),
    # -- infer, JSON, bad --------------------------------------------------------------------------------------
    infer("unknown model", path="/v2/models/nothing/infer"),
    infer("unserved version", path="/v2/models/digits/versions/1/infer"),
    infer("unknown version", path="/v2/models/digits/versions/99/infer"),
    infer("version x", path="/v2/models/digits/versions/x/infer"),
    get(INFER),
    get(INFER, "PUT"),
    get(INFER, "DELETE"),
    raw("empty body", b""),
    raw("not JSON", b"hello"),
    raw("cut JSON", document()[:-2]),
    raw("two documents", document() * 2),
    raw("a list", b"[]"),
    raw("null", b"null"),
    raw("no inputs", b"{}"),
    raw("inputs not a list", b'{"inputs": 5}'),
    raw("inputs empty", b'{"inputs": []}'),
    raw("input not an object", b'{"inputs": [5]}'),
    infer("no name", tensor(name=None)),
    infer("no shape", tensor(shape=None)),
    infer("no datatype", tensor(datatype=None)),
    infer("no data", tensor(data=None)),
    infer("name a number", tensor(name=5)),
    infer("shape a number", tensor(shape=5)),
    infer("datatype a number", tensor(datatype=5)),
    infer("id a number", id=42),
    infer("id null", id=None),
    infer("parameters a list", parameters=[]),
    infer("parameters nested", parameters={"deep": {}}),
    infer("unknown input", tensor(name="image0")),
    infer("one input too many", tensor(), tensor(name="more")),
    infer("an input twice", tensor(), tensor()),
    infer("FP32", tensor(datatype="FP32")),
    infer("INT64", tensor(datatype="INT64")),
    infer("BYTES", tensor(datatype="BYTES", data=["x"] * 784)),
    infer("BOOL", tensor(datatype="BOOL", data=[True] * 784)),
    infer("uint8", tensor(datatype="uint8")),
    infer("nonsense datatype", tensor(datatype="NONSENSE")),
    shape("shape 784", 1, 784),
    shape("shape without batch", 28, 28, 1),
    shape("shape without channel", 1, 28, 28),
    shape("shape for two", 2, 28, 28, 1),
    shape("shape of none", 0, 28, 28, 1),
    shape("shape turned", 1, 1, 28, 28),
    shape("shape negative", -1, 28, 28, 1),
    shape("shape twice negative", 1, -28, -28, 1),
    shape("shape a fraction", 1.5, 28, 28, 1),
    shape("shape text", "1", 28, 28, 1),
    shape("shape empty"),
    shape("shape huge", 2**62, 28, 28, 1),
    shape("shape that wraps to nothing", 2**60, 28, 28, 16),
    infer("no digits", tensor(ONE[:0])),
    data("data short", [0] * 783),
    data("data long", [0] * 785),
    data("data empty", []),
    data("data a number", 5),
    data("data text", "0" * 784),
    data("data an object", {}),
    data("data ragged", [[0] * 784, [0]]),
    data("value 256", with_first(256)),
    data("value -1", with_first(-1)),
    data("value 1.5", with_first(1.5)),
    data("value 1.0", with_first(1.0)),
    data("value text", with_first("1")),
    data("value null", with_first(None)),
    data("value true", with_first(True)),
    data("value an object", with_first({})),
    raw("value NaN", document().replace(b'"data": [', b'"data": [NaN, ')),
    want("unknown output", {"name": "more"}),
    want("an output twice", {"name": "probabilities"}, {"name": "probabilities"}),
    want("output without name", {}),
    want("output not an object", 5),
    infer("outputs not a list", outputs=5),
    want("binary_data text", output(binary_data="yes")),
    want("classification text", output(classification="3")),
    want("classification negative", output(classification=-1)),
    infer("binary_data_output text", parameters={"binary_data_output": "yes"}),
    # -- infer, binary -----------------------------------------------------------------------------------------
    binary("binary"),
    binary("binary, three digits", THREE),
    binary("binary both ways", THREE, parameters={"binary_data_output": True}),
    binary("binary, id", id="42"),
    binary("binary, no digits", ONE[:0]),
    binary("header too long", length="100000"),
    binary("header too short", length="20"),
    binary("header 0 with JSON", length="0"),
    binary("header negative", length="-1"),
    binary("header text", length="many"),
    binary("header fraction", length="1.5"),
    binary("bytes behind", tail=b"more"),
    binary("size too small", size=783),
    binary("size too large", size=785),
    binary("size text", size="784"),
    binary("size negative", size=-1),
    binary("size 0", size=0),
    raw("binary without header", document(tensor(data=None, parameters={"binary_data_size": 784})) + ONE.tobytes()),
    infer("data and size", tensor(parameters={"binary_data_size": 784})),
    raw("raw", ONE.tobytes(), Inference_Header_Content_Length="0"),
    raw("raw, three digits", THREE.tobytes(), Inference_Header_Content_Length="0"),
    raw("raw, short", ONE.tobytes()[:-1], Inference_Header_Content_Length="0"),
    raw("raw, empty", b"", Inference_Header_Content_Length="0"),
    # -- compression -------------------------------------------------------------------------------------------
    raw("gzip", gzip.compress(document(), mtime=0), **GZIP),
    raw("deflate", zlib.compress(document()), **DEFLATE),
    raw("gzip that is none", document(), **GZIP),
    raw("gzip, cut", gzip.compress(document(), mtime=0)[:-20], **GZIP),
    raw("deflate that is none", document(), **DEFLATE),
    raw("brotli", document(), Content_Encoding="br"),
    raw("identity", document(), Content_Encoding="identity"),
    Http(
        "binary, gzip",
        "POST",
        INFER,
        gzip.compress(binary("").body, mtime=0),
        binary("").headers | GZIP,
    ),
    infer("answer gzip", tensor(THREE), headers={"Accept-Encoding": "gzip"}),
    infer("answer deflate", tensor(THREE), headers={"Accept-Encoding": "deflate"}),
    infer("answer gzip or deflate", tensor(THREE), headers={"Accept-Encoding": "gzip, deflate"}),
    infer(
        "answer gzip, binary",
        tensor(THREE),
        headers={"Accept-Encoding": "gzip"},
        parameters={"binary_data_output": True},
    ),
    # -- unloading, which must be last --------------------------------------------------------------------------------
    admin("/v2/repository/models/digits/unload"),
    Http("unloaded: infer", "POST", INFER, document()),
    Http("unloaded: ready", "GET", "/v2/models/digits/ready"),
    Http("unloaded: metadata", "GET", "/v2/models/digits"),
    Http("unloaded: index", "POST", "/v2/repository/index"),
    Http("unloaded: server ready", "GET", "/v2/health/ready"),
    Http(
        "load again", *("POST", "/v2/repository/models/digits/load"), headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    ),
    Http("loaded again: infer", "POST", INFER, document()),
]


# -- gRPC -------------------------------------------------------------------------------------------------------


def message(pixels: Any = ONE, **changes: Any) -> dict[str, Any]:
    """A ModelInferRequest with raw contents; a change to None removes that field."""
    one = {"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape)}
    made = {"model_name": "digits", "inputs": [one], "raw_input_contents": [bytes64(pixels.tobytes())]}
    return {key: value for key, value in (made | changes).items() if value is not None}


def bytes64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def asked(name: str, pixels: Any = ONE, **changes: Any) -> Grpc:
    return Grpc(name, "ModelInfer", (message(pixels, **changes),))


def typed(name: str, values: Any = None, kind: str = "uint_contents", **changes: Any) -> Grpc:
    """One digit in typed contents."""
    values = ONE.reshape(-1).tolist() if values is None else values
    one = {"name": "pixels", "datatype": "UINT8", "shape": [1, 28, 28, 1], "contents": {kind: values}}
    return asked(name, inputs=[one | changes], raw_input_contents=None)


def shaped(name: str, *sizes: int) -> Grpc:
    return asked(name, inputs=[{"name": "pixels", "datatype": "UINT8", "shape": list(sizes)}])


def wanted(name: str, output: str = "probabilities", **parameters: Any) -> Grpc:
    return asked(name, outputs=[{"name": output, "parameters": parameters}])


GRPC = [
    Grpc("ServerLive", "ServerLive"),
    Grpc("ServerReady", "ServerReady"),
    Grpc("ServerMetadata", "ServerMetadata"),
    *[
        Grpc(f"{rpc} {model} {version}".rstrip(), rpc, ({"name": model, "version": version},))
        for rpc in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")
        for model, version in (
            ("digits", ""),
            ("digits", "2"),
            ("digits", "1"),
            ("digits", "99"),
            ("digits", "x"),
            ("nothing", ""),
            ("", ""),
        )
    ],
    Grpc("RepositoryIndex", "RepositoryIndex"),
    Grpc("RepositoryIndex ready", "RepositoryIndex", ({"ready": True},)),
    Grpc("RepositoryIndex of a repository", "RepositoryIndex", ({"repository_name": "nothing"},)),
    Grpc("RepositoryModelLoad digits", "RepositoryModelLoad", ({"model_name": "digits"},)),
    Grpc("RepositoryModelLoad nothing", "RepositoryModelLoad", ({"model_name": "nothing"},)),
    Grpc("RepositoryModelUnload nothing", "RepositoryModelUnload", ({"model_name": "nothing"},)),
    Grpc("SystemSharedMemoryStatus", "SystemSharedMemoryStatus"),
    Grpc("CudaSharedMemoryStatus", "CudaSharedMemoryStatus"),
    Grpc("TraceSetting", "TraceSetting"),
    Grpc("LogSettings", "LogSettings"),
    asked("raw"),
    asked("raw, three digits", THREE),
    asked("raw, an id", id="42"),
    asked("raw, a version", model_version="2"),
    asked("raw, parameters", parameters={"note": {"string_param": "x"}, "n": {"int64_param": 1}}),
    typed("typed"),
    wanted("output named"),
    wanted("classification", classification={"int64_param": 3}),
    wanted("classification 0", classification={"int64_param": 0}),
    wanted("classification negative", classification={"int64_param": -1}),
    wanted("classification text", classification={"string_param": "3"}),
    wanted("binary_data is ignored", binary_data={"bool_param": False}),
    wanted("unknown output", "more"),
    asked("an output twice", outputs=[{"name": "probabilities"}, {"name": "probabilities"}]),
    asked("unknown model", model_name="nothing"),
    asked("no model name", model_name=""),
    asked("unserved version", model_version="1"),
    asked("unknown version", model_version="99"),
    asked("version x", model_version="x"),
    asked("no inputs", inputs=[], raw_input_contents=None),
    asked("no inputs but contents", inputs=[]),
    asked("input without contents", raw_input_contents=None),
    asked("unknown input", inputs=[{"name": "more", "datatype": "UINT8", "shape": [1, 28, 28, 1]}]),
    asked("an input twice", inputs=message()["inputs"] * 2, raw_input_contents=message()["raw_input_contents"] * 2),
    asked("two contents for one input", raw_input_contents=message()["raw_input_contents"] * 2),
    asked("FP32", inputs=[{"name": "pixels", "datatype": "FP32", "shape": [1, 28, 28, 1]}]),
    asked("nonsense datatype", inputs=[{"name": "pixels", "datatype": "NONSENSE", "shape": [1, 28, 28, 1]}]),
    asked("no datatype", inputs=[{"name": "pixels", "shape": [1, 28, 28, 1]}]),
    shaped("shape 784", 1, 784),
    shaped("shape without batch", 28, 28, 1),
    shaped("shape for two", 2, 28, 28, 1),
    shaped("shape of none", 0, 28, 28, 1),
    shaped("shape negative", -1, 28, 28, 1),
    shaped("shape empty"),
    shaped("shape huge", 2**62, 28, 28, 1),
    shaped("shape that wraps to nothing", 2**60, 28, 28, 16),
    asked("no digits", ONE[:0]),
    asked("raw, short", raw_input_contents=[bytes64(ONE.tobytes()[:-1])]),
    asked("raw, long", raw_input_contents=[bytes64(ONE.tobytes() + b"x")]),
    asked("raw, empty", raw_input_contents=[""]),
    typed("typed, short", [0] * 783),
    typed("typed, long", [0] * 785),
    typed("typed, empty", []),
    typed("typed, 256", with_first(256)),
    typed("typed, in int_contents", kind="int_contents"),
    typed("typed, FP32", kind="fp32_contents", datatype="FP32"),
    asked("typed and raw", inputs=[message()["inputs"][0] | {"contents": {"uint_contents": [0] * 784}}]),
    Grpc("stream", "ModelStreamInfer", (message(), message(THREE, id="2"))),
    Grpc("stream, an error between", "ModelStreamInfer", (message(), message(model_name="nothing"), message(id="3"))),
    Grpc("RepositoryModelUnload digits", "RepositoryModelUnload", ({"model_name": "digits"},)),
    asked("unloaded: infer"),
    Grpc("unloaded: ready", "ModelReady", ({"name": "digits"},)),
    Grpc("load again", "RepositoryModelLoad", ({"model_name": "digits"},)),
    asked("loaded again: infer"),
]
assert len({call.name for call in HTTP}) == len(HTTP)
assert len({call.name for call in GRPC}) == len(GRPC)
