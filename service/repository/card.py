"""The card of a version: a JSON object that says what the model is, and that can be written back as JSON."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import orjson

Card = dict[str, Any]


def parse_card(data: bytes) -> Card:
    """Read a card.

    Raises:
        ValueError: it is not JSON (RFC 8259), not an object, or holds what cannot be answered over HTTP: NaN, infinity,
            a name twice, half of a surrogate pair, integers over 64 bits, more than 254 levels. The text is a clause.
    """
    try:
        card = json.loads(data, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(card, dict):
        raise ValueError("it is not a JSON object")
    try:
        orjson.dumps(card)
    except TypeError as error:
        raise ValueError(f"it cannot be written as JSON again ({error})") from None
    return card


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values is meant depends on the reader."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in an object twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
