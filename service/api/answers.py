"""Probabilities -> the body of an answer to /predict: JSON, or CSV as Kaggle wants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from service.concurrency import cooperate
from service.digits import Probabilities
from service.engine.version import LoadedVersion

PIECE_ROWS = 512  # encoded in one go


async def json_body(served: LoadedVersion, probabilities: Probabilities) -> bytes:
    """The documented answer, of any number of rows."""
    if len(probabilities) > PIECE_ROWS:
        return b"".join(await cooperate(_json_pieces(served, probabilities)))
    return as_json(served, probabilities)


def as_json(served: LoadedVersion, probabilities: Probabilities) -> bytes:
    """The documented answer: model, and digit, confidence and probabilities for each row."""
    model = {"name": served.name, "version": served.version}
    return orjson.dumps({"model": model, "predictions": _predictions(probabilities)}, option=orjson.OPT_SERIALIZE_NUMPY)


def as_csv(probabilities: Probabilities) -> bytes:
    """Kaggle's submission: ImageId from 1, and the digit."""
    digits = probabilities.argmax(axis=1).tolist()
    return "\n".join(["ImageId,Label", *(f"{i},{digit}" for i, digit in enumerate(digits, 1)), ""]).encode()


def _json_pieces(served: LoadedVersion, probabilities: Probabilities) -> Iterator[bytes]:
    """The same bytes, some tenths of a millisecond's work per piece."""
    yield as_json(served, probabilities[:0])[: -len(b"]}")]
    for start in range(0, len(probabilities), PIECE_ROWS):
        rows = _predictions(probabilities[start : start + PIECE_ROWS])
        yield b"," * bool(start) + orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]}"


def _predictions(probabilities: Probabilities) -> list[dict[str, Any]]:
    digits = probabilities.argmax(axis=1).tolist()
    return [  # as float32: a third shorter than the same numbers as Python's floats
        {"digit": digit, "confidence": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities)  # noqa: B905 - strict costs more than a digit's answer
    ]
