"""What the model said -> the body of an answer: JSON, and behind it the outputs that go as binary data."""

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
    name: str, version: int, asked: InferenceRequest, outputs: Mapping[str, Floats], labels: Sequence[str]
) -> tuple[bytes, int]:
    """The body, and the length of the JSON that it begins with, 0 where it is nothing else.

    Args:
        name, version: the model that answered.
        asked: which outputs, in which form.
        outputs: float32 (n, ...), all that are asked for, and all that there are where none is.
        labels: of the classes.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": str(version)}
    if asked.id:
        document["id"] = asked.id
    binary: list[bytes] = []
    asked_for = [(wanted, outputs[wanted.name]) for wanted in asked.wanted(outputs)]
    document["outputs"] = [await _output(wanted, values, labels, binary) for wanted, values in asked_for]
    header = orjson.dumps(document, option=NUMPY)
    return (b"".join([header, *binary]), len(header)) if binary else (header, 0)


async def _output(
    wanted: RequestedOutput, values: Floats, labels: Sequence[str], binary: list[bytes]
) -> dict[str, Any]:
    """One output for the JSON; its data, where they go as binary data, are added to `binary`."""
    if wanted.classes:
        return await _classes(wanted, values, labels if values.ndim == 2 else (), binary)
    shown = {"name": wanted.name, "datatype": "FP32", "shape": list(values.shape)}
    if wanted.binary:
        return shown | _behind(np.ascontiguousarray(values, "<f4").tobytes(), binary)
    return shown | {"data": await _numbers(values.ravel())}


async def _classes(
    wanted: RequestedOutput, values: Floats, labels: Sequence[str], binary: list[bytes]
) -> dict[str, Any]:
    pieces = tensors.classified(values, wanted.classes, labels)
    shape = [len(values), min(wanted.classes, values[0].size)]
    shown = {"name": wanted.name, "datatype": "BYTES", "shape": shape}
    if wanted.binary:
        return shown | _behind(b"".join(await cooperate(map(tensors.as_bytes_tensor, pieces))), binary)
    return shown | {"data": await _as_list(orjson.dumps(texts)[1:-1] for texts in pieces)}


def _behind(data: bytes, binary: list[bytes]) -> dict[str, Any]:
    binary.append(data)
    return {"parameters": {"binary_data_size": len(data)}}


async def _numbers(values: Floats) -> Any:
    """Numbers as orjson takes them; of many, the JSON itself."""
    if values.size <= PIECE_NUMBERS:
        return values
    starts = range(0, values.size, PIECE_NUMBERS)
    return await _as_list(orjson.dumps(values[i : i + PIECE_NUMBERS], option=NUMPY)[1:-1] for i in starts)


async def _as_list(parts: Iterable[bytes]) -> orjson.Fragment:
    """JSON of a list, from parts without its brackets."""
    pieces = await cooperate(parts)
    pieces[0] = b"[" + pieces[0]
    pieces[-1] += b"]"
    return orjson.Fragment(b",".join(pieces))
