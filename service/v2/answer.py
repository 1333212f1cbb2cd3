"""What the model said -> the body of an answer: JSON, and behind it the outputs that go as binary data."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service import tensors
from service.tensors import Floats
from service.v2.request import Asked, Wanted

PIECE_NUMBERS = 16 * 1024
NUMPY = orjson.OPT_SERIALIZE_NUMPY


async def write(
    name: str, version: int, asked: Asked, outputs: Mapping[str, Floats], labels: Sequence[str]
) -> tuple[bytes, int]:
    """The body, and the length of the JSON that it begins with, 0 where it is nothing else.

    Args:
        name, version: the model that answered.
        asked: which outputs, in which form.
        outputs: float32 (n, ...), all that are asked for.
        labels: of the classes.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": str(version)}
    if asked.id:
        document["id"] = asked.id
    binary: list[bytes] = []
    document["outputs"] = [await _output(wanted, outputs[wanted.name], labels, binary) for wanted in asked.outputs]
    header = orjson.dumps(document, option=NUMPY)
    return (b"".join([header, *binary]), len(header)) if binary else (header, 0)


async def _output(wanted: Wanted, values: Floats, labels: Sequence[str], binary: list[bytes]) -> dict[str, Any]:
    """One output for the JSON; its data, where they go as binary data, are added to `binary`."""
    if wanted.classes:
        return _classes(wanted, values, labels if values.ndim == 2 else (), binary)
    shown = {"name": wanted.name, "datatype": "FP32", "shape": list(values.shape)}
    if wanted.binary:
        return shown | _behind(np.ascontiguousarray(values, "<f4").tobytes(), binary)
    return shown | {"data": await _numbers(values.ravel())}


def _classes(wanted: Wanted, values: Floats, labels: Sequence[str], binary: list[bytes]) -> dict[str, Any]:
    rows = tensors.classification(values, wanted.classes, labels)
    flat = [text for row in rows for text in row]
    shown = {"name": wanted.name, "datatype": "BYTES", "shape": [len(rows), len(rows[0])]}
    return shown | (_behind(tensors.as_bytes_tensor(flat), binary) if wanted.binary else {"data": flat})


def _behind(data: bytes, binary: list[bytes]) -> dict[str, Any]:
    binary.append(data)
    return {"parameters": {"binary_data_size": len(data)}}


async def _numbers(values: Floats) -> Any:
    """Numbers as orjson takes them; of many, the JSON itself, made in pieces between which other requests pass."""
    if values.size <= PIECE_NUMBERS:
        return values
    pieces = []
    for start in range(0, values.size, PIECE_NUMBERS):
        pieces.append(orjson.dumps(values[start : start + PIECE_NUMBERS], option=NUMPY)[1:-1])
        await asyncio.sleep(0)
    return orjson.Fragment(b"[%b]" % b",".join(pieces))
