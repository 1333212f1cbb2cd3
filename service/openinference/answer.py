"""Outputs -> the body of an HTTP answer: JSON, followed by the outputs that are sent as binary data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service.concurrency import cooperate
from service.openinference import tensors
from service.openinference.request import InferenceRequest, RequestedOutput
from service.openinference.tensors import Floats

PIECE_NUMBERS = 16 * 1024
NUMPY = orjson.OPT_SERIALIZE_NUMPY


async def write(
    name: str, version: int, request: InferenceRequest, outputs: Mapping[str, Floats], labels: Sequence[str]
) -> tuple[bytes, int]:
    """The body, and the length of the JSON that it starts with; 0 if the body is JSON only.

    Args:
        name, version: the model that answered.
        request: says which outputs to send, and in which form.
        outputs: name -> float32 (n, ...), at least the requested ones. If none is named, all of these are sent.
        labels: names of the classes.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": str(version)}
    if request.id:
        document["id"] = request.id
    binary: list[bytes] = []
    requested = [(output, outputs[output.name]) for output in request.requested(outputs)]
    document["outputs"] = [await _output(output, values, labels, binary) for output, values in requested]
    header = orjson.dumps(document, option=NUMPY)
    return (b"".join([header, *binary]), len(header)) if binary else (header, 0)


async def _output(
    output: RequestedOutput, values: Floats, labels: Sequence[str], binary: list[bytes]
) -> dict[str, Any]:
    """One output as JSON. Binary data are appended to `binary`."""
    if output.classes:
        return await _classes(output, values, labels if values.ndim == 2 else (), binary)
    document = {"name": output.name, "datatype": "FP32", "shape": list(values.shape)}
    if output.binary:
        return document | _append_binary(np.ascontiguousarray(values, "<f4").tobytes(), binary)
    return document | {"data": await _numbers(values.ravel())}


async def _classes(
    output: RequestedOutput, values: Floats, labels: Sequence[str], binary: list[bytes]
) -> dict[str, Any]:
    pieces = tensors.classified(values, output.classes, labels)
    shape = [len(values), min(output.classes, values[0].size)]
    document = {"name": output.name, "datatype": "BYTES", "shape": shape}
    if output.binary:
        return document | _append_binary(b"".join(await cooperate(map(tensors.as_bytes_tensor, pieces))), binary)
    return document | {"data": await _as_list(orjson.dumps(texts)[1:-1] for texts in pieces)}


def _append_binary(data: bytes, binary: list[bytes]) -> dict[str, Any]:
    binary.append(data)
    return {"parameters": {"binary_data_size": len(data)}}


async def _numbers(values: Floats) -> Any:
    """Numbers for orjson: the array itself, or JSON made in pieces if it is large."""
    if values.size <= PIECE_NUMBERS:
        return values
    starts = range(0, values.size, PIECE_NUMBERS)
    return await _as_list(orjson.dumps(values[i : i + PIECE_NUMBERS], option=NUMPY)[1:-1] for i in starts)


async def _as_list(parts: Iterable[bytes]) -> orjson.Fragment:
    """A JSON list, from parts without brackets."""
    pieces = await cooperate(parts)
    pieces[0] = b"[" + pieces[0]
    pieces[-1] += b"]"
    return orjson.Fragment(b",".join(pieces))
