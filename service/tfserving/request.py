"""TensorFlow Serving's JSON -> digits and pictures. It knows nothing of HTTP.

A digit is 28x28, 28x28x1 or 784 numbers, or {"pixels": digit}; a picture {"b64": text} or {"image": {"b64": text}}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from service.digits import Pixels
from service.engine.model import INPUT
from service.errors import BadRequest, InvalidValue
from service.inputs.json import digits_from_list
from service.inputs.json_chunks import PIECE_BYTES, PLACEHOLDER, SPACE, ChunkedList, loads
from service.inputs.pictures import from_base64
from service.inputs.pixels import check_count

SIGNATURE = "serving_default"
STEP = 64  # digits that are decoded in one go
LIST = re.compile(rb'"(?:instances|inputs|examples|pixels)"_:_(?=\[)'.replace(b"_", SPACE))
SEARCHED_BYTES = 1024  # the list begins early
WHAT_IS_TAKEN = f'a digit is 28x28, 28x28x1 or 784 numbers 0-255, {{"{INPUT}": digit}}, or a picture {{"b64": "..."}}'
EXAMPLES = f'Send {{"examples": [{{"{INPUT}": digit}}, ...]}}; {WHAT_IS_TAKEN}.'

Picture = bytes


@dataclass(frozen=True)
class InferenceRequest:
    """What one request asks.

    Attributes:
        place: the key that the digits came under, for messages.
        items: parsed JSON, a digit or a picture each; or PLACEHOLDER, where `cut` has them.
        context: features that all items share, which are then objects.
        cut: the text of the items.
        whole: parses them all, should it be that they cannot be in pieces.
    """

    place: str
    items: Any
    context: dict[str, Any] | None = None
    cut: ChunkedList | None = None
    whole: Callable[[], InferenceRequest] | None = None

    def pieces(self, max_instances: int) -> Iterator[Pixels | Picture | None]:
        """Its digits in order, in pieces of some milliseconds' work; a picture is a piece of its own, not decoded yet.

        None means that the list ends elsewhere than it seemed: forget what came before it.

        Raises:
            BadRequest: one of them is neither; the sentence says which.
            PayloadTooLarge: there are more than `max_instances`.
        """
        first = 0
        for items in self._batches(max_instances):
            if not items:
                yield None
                first = 0
                continue
            check_count(first + len(items), max_instances)
            found = [self._item(item, f"{self.place}[{first + i}]") for i, item in enumerate(items)]
            if not any(isinstance(item, Picture) for item in found):
                yield self._digits(found, first)
            else:
                for i, item in enumerate(found, first):
                    yield item if isinstance(item, Picture) else self._digits([item], i)
            first += len(items)

    def _batches(self, max_instances: int) -> Iterator[list[Any]]:
        items = self.items
        if self.cut and self.whole:
            for place in self.cut.chunks():
                batch = self.cut.elements(*place)
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
    """The document of :predict, in row format (instances) or column format (inputs). Raises BadRequest."""
    return _read(body, _predict_request)


def classify_request(body: bytes) -> InferenceRequest:
    """The document of :classify: examples, and a context of features that all of them share. Raises BadRequest."""
    return _read(body, _classify_request)


def _read(body: bytes, find: Callable[[bytes], InferenceRequest]) -> InferenceRequest:
    """What `find` finds in the document, its list cut out where that is long."""
    key = LIST.search(body, 0, SEARCHED_BYTES) if len(body) > PIECE_BYTES else None
    if key:
        cut = ChunkedList(body, key.end() + 1, max(key.end() + 1, body.rfind(b"]")))
        with suppress(BadRequest):  # it may be another list that ends there
            asked = find(cut.rest())
            if asked.items == PLACEHOLDER:
                return replace(asked, cut=cut, whole=lambda: find(body))
    return find(body)


def _predict_request(body: bytes) -> InferenceRequest:
    document = _document(body)
    if ("instances" in document) == ("inputs" in document):
        raise BadRequest(f'Send either {{"instances": [digit, ...]}} or {{"inputs": [digit, ...]}}; {WHAT_IS_TAKEN}.')
    if "instances" in document:
        return _asked("instances", document["instances"])
    return _asked(*_column(document["inputs"]))


def _classify_request(body: bytes) -> InferenceRequest:
    document = _document(body)
    context, examples = document.get("context", {}), document.get("examples")
    if not isinstance(context, dict) or not (isinstance(examples, list) or examples == PLACEHOLDER):
        raise BadRequest(EXAMPLES)
    return replace(_asked("examples", examples), context=context)


def _document(body: bytes) -> dict[str, Any]:
    document = loads(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    if document.get("signature_name", SIGNATURE) not in (SIGNATURE, "", None):
        raise BadRequest(f'There is no such signature; leave signature_name out, or send "{SIGNATURE}".')
    return document


def _asked(place: str, items: Any) -> InferenceRequest:
    if items != PLACEHOLDER and (not isinstance(items, list) or not items):
        raise BadRequest(f"{place} must be a list of at least one digit; {WHAT_IS_TAKEN}.")
    return InferenceRequest(place, items)


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
        return from_base64(text)
    except ValueError:
        raise BadRequest(f"{place} holds a b64 that is not base64 of a picture file.") from None
