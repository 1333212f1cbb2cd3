"""Compares an answer of Triton with one of the service: a list of differences, empty where they are equivalent.

HTTP status and gRPC code must be the same, with one exception: where Triton answers a bad request with a server error
(500, INTERNAL), the service must answer with a client error (400, INVALID_ARGUMENT). In JSON the keys, the types, the
lengths of lists and the values of EXACT must be the same; probabilities may differ by 1e-4. Error texts may differ.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np

from tests.support.v2 import texts

TOLERANCE = 1e-4
EXACT = {
    "name",
    "model_name",
    "model_version",
    "version",
    "id",
    "datatype",
    "shape",
    "data_type",
    "dims",
    "live",
    "ready",
}
EXACT_LISTS = {"versions", "shape", "dims"}
SCORE = re.compile(r"(\d\.\d{6}):(\d):(\d)")

Answer = dict[str, Any]


def http(theirs: Answer, ours: Answer) -> list[str]:
    wanted = 400 if theirs["status"] == 500 else theirs["status"]
    found = [] if ours["status"] == wanted else [f"status {ours['status']}, not {wanted}"]
    if wanted >= 400 or ours["status"] >= 400:
        return found + _error(ours)
    for name in ("content-type", "content-encoding"):
        if name == "content-type" and "json" not in theirs:
            continue  # an empty body
        if theirs["headers"].get(name) != ours["headers"].get(name):
            found.append(f"{name} {ours['headers'].get(name)}, not {theirs['headers'].get(name)}")
    found += json("body", theirs.get("json"), ours.get("json"))
    return found + _bytes(theirs.get("bytes"), ours.get("bytes"), _datatype(theirs))


def grpc(theirs: Answer, ours: Answer) -> list[str]:
    wanted = theirs["code"].replace("INTERNAL", "INVALID_ARGUMENT")
    if ours["code"] != wanted:
        return [f"{ours['code']} ({ours.get('details')}), not {wanted}"]
    if wanted != "OK":
        return [] if re.fullmatch(r"[^\n]{15,}", ours["details"]) else [f"not one sentence: {ours['details']!r}"]
    return json("message", theirs.get("json"), ours.get("json"))


def json(place: str, theirs: Any, ours: Any, key: str = "") -> list[str]:
    """Differences of two JSON values, `key` being the name of the field that holds them."""
    if type(theirs) is not type(ours) and not {type(theirs), type(ours)} <= {int, float}:
        return [f"{place} is {_shown(ours)}, not {_shown(theirs)}"]
    if isinstance(theirs, dict):
        return _objects(place, theirs, ours)
    if isinstance(theirs, list):
        return _lists(place, theirs, ours, key)
    if key in EXACT and theirs != ours:
        return [f"{place} is {_shown(ours)}, not {_shown(theirs)}"]
    return _values(place, theirs, ours) if key == "data" else []


def _objects(place: str, theirs: Answer, ours: Answer) -> list[str]:
    missing, more = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    found = [f"{place} lacks {', '.join(sorted(missing))}"] if missing else []
    found += [f"{place} also has {', '.join(sorted(more))}"] if more else []
    for key in sorted(theirs.keys() & ours.keys()):
        if key == "raw_output_contents":
            kinds = [output["datatype"] for output in theirs["outputs"]]
            found += [d for a, b, kind in zip(theirs[key], ours[key], kinds, strict=True) for d in _bytes(a, b, kind)]
        else:
            found += json(f"{place}.{key}", theirs[key], ours[key], key)
    return found


def _lists(place: str, theirs: list[Any], ours: list[Any], key: str) -> list[str]:
    if key in EXACT_LISTS and theirs != ours:
        return [f"{place} is {_shown(ours)}, not {_shown(theirs)}"]
    if key == "batch_stats":  # one entry per batch size so far, which differs from run to run
        theirs, ours = theirs[:1], ours[:1]
    if len(theirs) != len(ours):
        return [f"{place} has {len(ours)} entries, not {len(theirs)}"]
    inner = key if key == "data" else ""
    return [d for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) for d in json(f"{place}[{i}]", a, b, inner)]


def _values(place: str, theirs: Any, ours: Any) -> list[str]:
    if isinstance(theirs, str):
        return _scores(place, theirs, ours)
    return [] if abs(theirs - ours) <= TOLERANCE else [f"{place} is {ours}, not {theirs}"]


def _scores(place: str, theirs: str, ours: str) -> list[str]:
    """Compares two results of the classification extension, each `value:index:label`."""
    a, b = SCORE.fullmatch(theirs), SCORE.fullmatch(ours)
    same = a and b and a[2] == b[2] and a[3] == b[3] and abs(float(a[1]) - float(b[1])) <= TOLERANCE
    return [] if same else [f"{place} is {ours!r}, not {theirs!r}"]


def _bytes(theirs: str | None, ours: str | None, datatype: str) -> list[str]:
    if theirs is None or ours is None or len(theirs) != len(ours):
        return [] if theirs == ours else [f"bytes are {_shown(ours)}, not {_shown(theirs)}"]
    a, b = base64.b64decode(theirs), base64.b64decode(ours)
    if datatype == "FP32":
        same = np.allclose(np.frombuffer(a, "<f4"), np.frombuffer(b, "<f4"), rtol=0, atol=TOLERANCE)
    else:
        same = not any(_scores("", *pair) for pair in zip(texts(a), texts(b), strict=True))
    return [] if same else [f"bytes are {b!r}, not {a!r}"]


def _datatype(answer: Answer) -> str:
    document = answer.get("json")
    outputs = document.get("outputs") if isinstance(document, dict) else None
    return str(outputs[0]["datatype"]) if outputs else ""


def _error(ours: Answer) -> list[str]:
    document = ours.get("json")
    if isinstance(document, dict) and list(document) == ["error"] and re.fullmatch(r"[^\n]{15,}", document["error"]):
        return []
    return [f"not one sentence in the field error: {_shown(document)}"]


def _shown(value: Any) -> str:
    return repr(value)[:120]
