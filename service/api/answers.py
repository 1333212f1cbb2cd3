"""Probabilities -> the body of an answer of /predict: JSON, or CSV in the form of a Kaggle submission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from service.concurrency import cooperate
from service.digits import Probabilities
from service.engine.version import LoadedVersion

PIECE_ROWS = 512  # encoded at a time


async def json_body(served: LoadedVersion, probabilities: Probabilities) -> bytes:
    """The JSON answer for float32 (n, 10), encoded in pieces if n is large."""
    if len(probabilities) > PIECE_ROWS:
        return b"".join(await cooperate(_json_pieces(served, probabilities)))
    return as_json(served, probabilities)


def as_json(served: LoadedVersion, probabilities: Probabilities) -> bytes:
    """The JSON answer: the model, and digit, confidence and probabilities of each row."""
    model = {"name": served.name, "version": served.version}
    return orjson.dumps({"model": model, "predictions": _predictions(probabilities)}, option=orjson.OPT_SERIALIZE_NUMPY)


async def csv_body(probabilities: Probabilities) -> bytes:
    """A Kaggle submission: ImageId from 1, and Label, the digit."""
    digits = probabilities.argmax(axis=1)
    starts = range(0, len(digits), PIECE_ROWS)
    pieces = await cooperate(_csv_rows(digits[start : start + PIECE_ROWS].tolist(), start + 1) for start in starts)
    return "".join(["ImageId,Label\n", *pieces]).encode()


def _csv_rows(digits: list[int], first: int) -> str:
    return "".join([f"{i},{digit}\n" for i, digit in enumerate(digits, first)])


def _json_pieces(served: LoadedVersion, probabilities: Probabilities) -> Iterator[bytes]:
    """The bytes of as_json, in pieces that each take some tenths of a millisecond."""
    yield as_json(served, probabilities[:0])[: -len(b"]}")]
    for start in range(0, len(probabilities), PIECE_ROWS):
        rows = _predictions(probabilities[start : start + PIECE_ROWS])
        yield b"," * bool(start) + orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]}"


def _predictions(probabilities: Probabilities) -> list[dict[str, Any]]:
    digits = probabilities.argmax(axis=1).tolist()
    return [  # float32 prints a third shorter than Python floats
        {"digit": digit, "confidence": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities)  # noqa: B905 - strict=True costs more than encoding one digit
    ]
