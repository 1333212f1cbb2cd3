"""TensorFlow Serving's JSON -> digits and pictures. It knows nothing of HTTP.

A digit is 28x28, 28x28x1 or 784 numbers, or {"pixels": digit}. A picture is {"b64": text} or {"image": {"b64": text}}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.digits import SIDE, Pixels
from service.engine.model import INPUT
from service.errors import BadRequest, InvalidValue
from service.inputs.json import digits_from_list
from service.inputs.json_chunks import PIECE_BYTES, PLACEHOLDER, SPACE, ChunkedList, loads
from service.inputs.pictures import from_base64
from service.inputs.pixels import check_count

SIGNATURE = "serving_default"
NOTHING = np.empty((0, SIDE, SIDE), np.uint8)
STEP = 16  # digits decoded at a time
LIST = re.compile(rb'"(?:instances|inputs|examples|pixels)"_:_(?=\[)'.replace(b"_", SPACE))
SEARCHED_BYTES = 1024  # the list begins within these
ACCEPTED = f'a digit is 28x28, 28x28x1 or 784 numbers 0-255, {{"{INPUT}": digit}}, or a picture {{"b64": "..."}}'
EXAMPLES = f'Send {{"examples": [{{"{INPUT}": digit}}, ...]}}; {ACCEPTED}.'

Picture = bytes


@dataclass(frozen=True)
class InferenceRequest:
    """One parsed request.

    Attributes:
        place: the JSON key of the digits, for error messages.
        items: parsed JSON, each a digit or a picture; PLACEHOLDER if they are in `chunked`.
        context: features that all items share (:classify only); the items are then objects.
        chunked: the items of a long list, as text that is parsed in chunks.
        whole: parses the whole document, in case the list cannot be parsed in chunks.
    """

    place: str
    items: Any
    context: dict[str, Any] | None = None
    chunked: ChunkedList | None = None
    whole: Callable[[], InferenceRequest] | None = None

    def pieces(self, max_instances: int) -> Iterator[Pixels | Picture | None]:
        """The digits in order, in pieces that each take some milliseconds; a picture is one piece, not decoded yet.

        None means that the list ended elsewhere than assumed: discard all pieces before it.

        Raises:
            BadRequest: an item is neither digit nor picture; the message names it.
            PayloadTooLarge: there are more than `max_instances`.
        """
        first = 0
        for items in self._batches(max_instances):
            if not items:
                yield None
                first = 0
                continue
            check_count(first + len(items), max_instances)
            if self.chunked:
                yield NOTHING  # parsing the items took as long as decoding their pictures will
            found = [self._item(item, f"{self.place}[{first + i}]") for i, item in enumerate(items)]
            if not any(isinstance(item, Picture) for item in found):
                yield self._digits(found, first)
            else:
                for i, item in enumerate(found, first):
                    yield item if isinstance(item, Picture) else self._digits([item], i)
            first += len(items)

    def _batches(self, max_instances: int) -> Iterator[list[Any]]:
        items = self.items
        if self.chunked and self.whole:
            for place in self.chunked.chunks():
                batch = self.chunked.elements(*place)
                yield batch
                if not batch:
                    items = self.whole().items
                    break
            else:
                return
        check_count(len(items), max_instances)
        yield from (items[start : start + STEP] for start in range(0, len(items), STEP))

    def _item(self, item: Any, place: str) -> Any:
        if self.context is None:
            return _item(item, place)
        if not isinstance(item, dict):
            raise BadRequest(EXAMPLES)
        return _item(self.context | item, place)

    def _digits(self, items: list[Any], first: int) -> Pixels:
        try:
            return digits_from_list(items, len(items), first)
        except InvalidValue as error:
            raise BadRequest(str(error).replace("instances", self.place)) from None


def predict_request(body: bytes) -> InferenceRequest:
    """Parse the body of :predict, in row format (instances) or column format (inputs). Raises BadRequest."""
    return _read(body, _predict_request)


def classify_request(body: bytes) -> InferenceRequest:
    """Parse the body of :classify: examples, and a context of features that they share. Raises BadRequest."""
    return _read(body, _classify_request)


def _read(body: bytes, parse: Callable[[bytes], InferenceRequest]) -> InferenceRequest:
    """Apply `parse` to the body; a long list is left out and becomes `chunked`."""
    key = LIST.search(body, 0, SEARCHED_BYTES) if len(body) > PIECE_BYTES else None
    if key:
        chunked = ChunkedList(body, key.end() + 1, max(key.end() + 1, body.rfind(b"]")))
        with suppress(BadRequest):  # the last "]" may end another list
            request = parse(chunked.rest())
            if request.items == PLACEHOLDER:
                return replace(request, chunked=chunked, whole=lambda: parse(body))
    return parse(body)


def _predict_request(body: bytes) -> InferenceRequest:
    document = _document(body)
    if ("instances" in document) == ("inputs" in document):
        raise BadRequest(f'Send either {{"instances": [digit, ...]}} or {{"inputs": [digit, ...]}}; {ACCEPTED}.')
    if "instances" in document:
        return _request("instances", document["instances"])
    return _request(*_column(document["inputs"]))


def _classify_request(body: bytes) -> InferenceRequest:
    document = _document(body)
    context, examples = document.get("context", {}), document.get("examples")
    if not isinstance(context, dict) or not (isinstance(examples, list) or examples == PLACEHOLDER):
        raise BadRequest(EXAMPLES)
    return replace(_request("examples", examples), context=context)


def _document(body: bytes) -> dict[str, Any]:
    document = loads(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    if document.get("signature_name", SIGNATURE) not in (SIGNATURE, "", None):
        raise BadRequest(f'signature_name is unknown; leave it out, or send "{SIGNATURE}".')
    return document


def _request(place: str, items: Any) -> InferenceRequest:
    if items != PLACEHOLDER and (not isinstance(items, list) or not items):
        raise BadRequest(f"{place} must be a list of at least one digit; {ACCEPTED}.")
    return InferenceRequest(place, items)


def _column(inputs: Any) -> tuple[str, Any]:
    """The place and the list of column format. The name of the only tensor may be left out."""
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
    raise BadRequest(f"{place} is not a digit; {ACCEPTED}.")


def _without_channel(digit: Any) -> Any:
    """28x28x1 -> 28x28; anything else unchanged: digits_from_list validates it."""
    try:
        return [[pixel for (pixel,) in row] for row in digit] if type(digit[0][0]) is list else digit
    except (TypeError, ValueError, LookupError):
        return digit


def _picture(text: Any, place: str) -> Picture:
    try:
        return from_base64(text)
    except ValueError:
        raise BadRequest(f"The b64 of {place} is not a picture file in base64.") from None
