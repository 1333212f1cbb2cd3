"""Probabilities and loaded versions -> answers in TensorFlow Serving's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson

from service.concurrency import cooperate
from service.digits import SIDE, Probabilities
from service.engine.model import INPUT, OUTPUT
from service.engine.version import LoadedVersion
from service.tfserving.request import SIGNATURE, InferenceRequest

STEP = 1024  # rows encoded at a time


async def predict_answer(request: InferenceRequest, probabilities: Probabilities) -> bytes:
    """`predictions` for a request in row format, `outputs` for one in column format."""
    key = b"predictions" if request.place == "instances" else b"outputs"
    return await _answer(key, probabilities, np.ascontiguousarray)


async def classify_answer(classes: list[str], probabilities: Probabilities) -> bytes:
    """For each example ten pairs [label, score], in the order of the classes."""
    return await _answer(b"results", probabilities, lambda rows: [list(zip(classes, row, strict=True)) for row in rows])


async def _answer(key: bytes, probabilities: Probabilities, encode: Callable[[Probabilities], Any]) -> bytes:
    """{key: [encode(row), ...]}. Numbers stay float32, which print a third shorter than Python floats."""
    rows = (probabilities[start : start + STEP] for start in range(0, len(probabilities), STEP))
    pieces = await cooperate(orjson.dumps(encode(some), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for some in rows)
    return b'{"%b":[%b]}' % (key, b",".join(pieces))


def model_status(versions: Iterable[LoadedVersion]) -> dict[str, Any]:
    """`model_version_status` of the versions, newest first."""
    ok = {"error_code": "OK", "error_message": ""}
    numbers = sorted((served.version for served in versions), reverse=True)
    return {"model_version_status": [{"version": str(v), "state": "AVAILABLE", "status": ok} for v in numbers]}


def model_metadata(served: LoadedVersion) -> dict[str, Any]:
    """`model_spec` and the signature_def of :predict, as SavedModels describe theirs."""
    inputs = {INPUT: _tensor("DT_UINT8", (-1, SIDE, SIDE, 1), f"{SIGNATURE}_{INPUT}:0")}
    outputs = {OUTPUT: _tensor("DT_FLOAT", (-1, 10), "StatefulPartitionedCall:0")}
    signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict", "defaults": {}}
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": str(served.version)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(dtype: str, shape: tuple[int, ...], name: str) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
