"""Who takes part: how each server is started, configured for speed after its documentation, and sent requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.harness import forms
from benchmarks.harness.forms import Form


@dataclass(frozen=True)
class Contender:
    """One server.

    Attributes:
        key: its name on the command line and in the results.
        label: its name in tables and the chart.
        command: what to run; arena.py fills in {python}, {bin}, {port} and other places.
        forms: kind of workload -> the form this server takes it in; kinds that it cannot take are absent.
        environment: its folder under .bench/; None for the service's own Python.
        variables: environment variables, filled in as in `command`.
        package: the distribution whose version the table shows.
    """

    key: str
    label: str
    command: tuple[str, ...]
    forms: Mapping[str, Form]
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    package: str = ""


def _kinds(path: str, decode: forms.Decoder, png: Form | None = None) -> dict[str, Form]:
    """The forms of most peers: JSON for one digit and for many, and PNG where the peer can take it."""
    as_json = Form("JSON", path, forms.json_body, decode)
    return {"json": as_json, "bulk": as_json} | ({"png": png} if png else {})


def _bodies(path: str, decode: forms.Decoder) -> dict[str, Form]:
    """The forms of a server that takes JSON, PNG and raw bytes at one address."""
    raw = Form("raw", path, forms.raw_body, decode)
    as_json, as_png = Form("JSON", path, forms.json_body, decode), Form("PNG", path, forms.png_body, decode)
    return {"json": as_json, "png": as_png, "raw": raw, "bulk": raw}


def _undecodable(_: bytes, __: Mapping[str, str]) -> forms.Probabilities:
    raise NotImplementedError("the ceiling answers a constant, which has no probabilities")


def _lit(key: str, label: str, batch: int) -> Contender:
    file = Form("form file", "/predict", forms.file_body, forms.probabilities)
    kinds = _kinds("/predict", forms.probabilities, file)
    variables = {"BENCH_BATCH": str(batch)}
    return Contender(key, label, ("{python}", "lit_serve.py"), kinds, "litserve", variables, "litserve")


def _bento(key: str, label: str, batch: int) -> Contender:
    file = Form("form file", "/image", forms.file_body, forms.probabilities)
    command = ("{bin}/bentoml", "serve", "bento:Digits", "--host", "127.0.0.1", "--port", "{port}")
    variables = {"BENCH_BATCH": str(batch), "BENTOML_DO_NOT_TRACK": "True"}
    return Contender(
        key, label, command, _kinds("/predict", forms.probabilities, file), "bentoml", variables, "bentoml"
    )


V2_PATH = "/v2/models/digits/infer"
V2_JSON, V2_BINARY = (
    Form("V2 JSON", V2_PATH, forms.v2_body, forms.v2),
    Form("V2 binary", V2_PATH, forms.v2_binary_body, forms.v2_binary),
)
UVICORN = ("{python}", "-m", "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning")
FAST = ("--loop", "uvloop", "--http", "httptools")

CEILING = Contender(
    key="ceiling",
    label="ceiling: bare ASGI, constant answer",
    command=(*UVICORN, *FAST, "--lifespan", "off", "--app-dir", "{root}", "benchmarks.harness.ceiling:app"),
    forms={kind: form for kind, form in _bodies("/", _undecodable).items() if kind != "bulk"},
    variables={"BENCH_ANSWER_BYTES": "{answer_bytes}"},
    package="uvicorn",
)
US = Contender(
    key="us",
    label="Digit Recognizer",
    command=("{python}", "-m", "service"),
    forms=_bodies("/predict", forms.predictions),
    variables={
        "DIGITS_PORT": "{port}",
        "DIGITS_MODELS_DIR": "{models_dir}",
        "DIGITS_MODEL": "{name}",
        "DIGITS_WORKERS": "1",
        "PYTHONPATH": "{root}",
    },
    package="digit-recognizer",
)
PEERS = (
    Contender(
        key="tutorial",
        label="FastAPI tutorial",
        command=(*UVICORN, "tutorial:app"),
        forms=_kinds("/predict", forms.predictions, Form("form file", "/image", forms.file_body, forms.predictions)),
        environment="tutorial",
        package="fastapi",
    ),
    Contender(
        key="pytriton",
        label="Triton (PyTriton)",
        command=("{python}", "py_triton.py"),
        forms={"json": V2_JSON, "raw": V2_BINARY, "bulk": V2_BINARY},
        environment="pytriton",
        package="nvidia-pytriton",
    ),
    Contender(
        key="mlserver",
        label="MLServer",
        command=("{bin}/mlserver", "start", "."),
        forms={"json": V2_JSON, "bulk": V2_JSON},
        environment="mlserver",
        variables={
            "MLSERVER_MODEL_NAME": "digits",
            "MLSERVER_MODEL_IMPLEMENTATION": "ml_server.Digits",
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{port2}",
            "MLSERVER_METRICS_PORT": "{port3}",
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
            "MLSERVER_GZIP_ENABLED": "false",
        },
        package="mlserver",
    ),
    _lit("litserve", "LitServe, batch 1", 1),
    _lit("litserve16", "LitServe, batch 16", 16),
    _bento("bentoml", "BentoML", 0),
    _bento("bentoml-batch", "BentoML, adaptive batching", 1),
    Contender(
        key="ray",
        label="Ray Serve",
        command=("{python}", "ray_serve.py"),
        forms=_bodies("/", forms.probabilities),
        environment="ray",
        variables={"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
        package="ray",
    ),
)
ALL = (CEILING, US, *PEERS)
BY_KEY = {contender.key: contender for contender in ALL}
