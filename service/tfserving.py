"""TensorFlow Serving's JSON -> digits and pictures, and probabilities -> its answers. It knows nothing of HTTP.

A digit is 28x28, 28x28x1 or 784 numbers, or {"pixels": digit}; a picture {"b64": text} or {"image": {"b64": text}}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from service.bodies.json import digits_from_list
from service.bodies.pixels import SIDE, Pixels, check_count
from service.engine import Served
from service.errors import BadRequest, InvalidValue
from service.model import INPUT, OUTPUT, Probabilities

SIGNATURE = "serving_default"
STEP = 64  # digits that are decoded in one go
WHAT_IS_TAKEN = f'a digit is 28x28, 28x28x1 or 784 numbers 0-255, {{"{INPUT}": digit}}, or a picture {{"b64": "..."}}'

Picture = bytes


@dataclass(frozen=True)
class Asked:
    """What one request asks.

    Attributes:
        place: the key that the digits came under, for messages.
        items: parsed JSON, a digit or a picture each.
    """

    place: str
    items: list[Any]

    def pieces(self, max_instances: int) -> Iterator[Pixels | Picture]:
        """Its digits in order, in pieces of at most 64; a picture is a piece of its own, not decoded yet.

        Raises:
            BadRequest: one of them is neither; the sentence says which.
            PayloadTooLarge: there are more than `max_instances`.
        """
        check_count(len(self.items), max_instances)
        for start in range(0, len(self.items), STEP):
            found = [
                _item(item, f"{self.place}[{start + i}]") for i, item in enumerate(self.items[start : start + STEP])
            ]
            if not any(isinstance(item, Picture) for item in found):
                yield self._digits(found, start)
                continue
            for i, item in enumerate(found, start):
                yield item if isinstance(item, Picture) else self._digits([item], i)

    def _digits(self, items: list[Any], first: int) -> Pixels:
        try:
            return digits_from_list(items, len(items), first)
        except InvalidValue as error:
            raise BadRequest(str(error).replace("instances", self.place)) from None


def predict_request(body: bytes) -> Asked:
    """The document of :predict, in row format (instances) or column format (inputs). Raises BadRequest."""
    document = _document(body)
    if ("instances" in document) == ("inputs" in document):
        raise BadRequest(f'Send either {{"instances": [digit, ...]}} or {{"inputs": [digit, ...]}}; {WHAT_IS_TAKEN}.')
    if "instances" in document:
        return _asked("instances", document["instances"])
    return _asked(*_column(document["inputs"]))


def classify_request(body: bytes) -> Asked:
    """The document of :classify: examples, and a context of features that all of them share. Raises BadRequest."""
    document = _document(body)
    context, examples = document.get("context", {}), document.get("examples")
    if (
        not isinstance(context, dict)
        or not isinstance(examples, list)
        or not all(isinstance(e, dict) for e in examples)
    ):
        raise BadRequest(f'Send {{"examples": [{{"{INPUT}": digit}}, ...]}}; {WHAT_IS_TAKEN}.')
    return _asked("examples", [context | example for example in examples])


def predict_answer(asked: Asked, probabilities: Probabilities) -> bytes:
    """`predictions` for a request in row format, `outputs` for one in column format."""
    key = "predictions" if asked.place == "instances" else "outputs"
    return orjson.dumps({key: probabilities.tolist()})


def classify_answer(classes: list[str], probabilities: Probabilities) -> bytes:
    """For each example the ten pairs of label and score, in the order of the classes."""
    return orjson.dumps({"results": [list(zip(classes, row, strict=True)) for row in probabilities.tolist()]})


def status(found: Iterable[Served]) -> dict[str, Any]:
    """`model_version_status` of what is served, newest version first."""
    ok = {"error_code": "OK", "error_message": ""}
    versions = sorted((served.version for served in found), reverse=True)
    return {"model_version_status": [{"version": str(v), "state": "AVAILABLE", "status": ok} for v in versions]}


def metadata(served: Served) -> dict[str, Any]:
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


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    if document.get("signature_name", SIGNATURE) not in (SIGNATURE, "", None):
        raise BadRequest(f'There is no such signature; leave signature_name out, or send "{SIGNATURE}".')
    return document


def _asked(place: str, items: Any) -> Asked:
    if not isinstance(items, list) or not items:
        raise BadRequest(f"{place} must be a list of at least one digit; {WHAT_IS_TAKEN}.")
    return Asked(place, items)


def _column(inputs: Any) -> tuple[str, Any]:
    """Column format names the tensor or, as there is one alone, may leave its name out."""
    if not isinstance(inputs, dict):
        return "inputs", inputs
    if len(inputs) == 1:
        (name, column), *_ = inputs.items()
        if name == "b64":
            return "inputs", [inputs]
        if name in (INPUT, "image"):
            return f"inputs.{name}", [column] if isinstance(column, dict) else column
    raise BadRequest(f'inputs must be {{"{INPUT}": [digit, ...]}} or {{"image": [{{"b64": "..."}}, ...]}}.')


def _item(value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        return _without_channel(value)
    if len(value) == 1:
        (name, content), *_ = value.items()
        if name == "b64":
            return _picture(content, place)
        if name == "image" and isinstance(content, dict) and content.keys() == {"b64"}:
            return _picture(content["b64"], place)
        if name == INPUT:
            return _without_channel(content)
    raise BadRequest(f"{place} is not a digit; {WHAT_IS_TAKEN}.")


def _without_channel(digit: Any) -> Any:
    """28x28x1 -> 28x28; anything else as it is, for digits_from_list to take or to refuse by name."""
    try:
        return [[pixel for (pixel,) in row] for row in digit] if type(digit[0][0]) is list else digit
    except (TypeError, ValueError, LookupError):
        return digit


def _picture(text: Any, place: str) -> Picture:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise BadRequest(f"{place} holds a b64 that is not base64 of a picture file.") from None
