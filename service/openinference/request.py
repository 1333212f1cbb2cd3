"""A body -> what it asks for.

A body is JSON, and behind it the data of those tensors that are sent as binary data, in their order; the header
Inference-Header-Content-Length tells the length of the JSON. Where it tells 0, all of the body is `pixels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.digits import SIZE, Pixels
from service.errors import BadRequest
from service.openinference import tensors
from service.openinference.document import Document, parse
from service.openinference.tensors import IMAGE, Bytes


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that is asked for, as binary data or JSON, or its `classes` highest values instead."""

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(slots=True)
class InferenceRequest:
    """A request: either pixels, uint8 (n, 28, 28), or pictures, files.

    Attributes:
        outputs: that are named; where none is, all are meant that the version has which answers.
        binary: whether those go as binary data.
    """

    outputs: list[RequestedOutput]
    id: str | None = None
    pixels: Pixels | None = None
    pictures: list[Bytes] = field(default_factory=list)
    binary: bool = False

    def names(self, output: str) -> bool:
        return any(wanted.name == output for wanted in self.outputs)

    def wanted(self, there: Iterable[str]) -> list[RequestedOutput]:
        """What is asked for of the outputs that are there."""
        return self.outputs or [RequestedOutput(name, self.binary) for name in there]


@dataclass(frozen=True, slots=True)
class Limits:
    """Most digits, and most pictures, of one request."""

    digits: int
    pictures: int


async def read(body: bytes, header_length: bytes, outputs: Sequence[str], limits: Limits) -> InferenceRequest:
    """What a body asks for.

    Args:
        body: as it came, decompressed.
        header_length: what Inference-Header-Content-Length says, empty without one; blanks around it do not count.
        outputs: names that may be asked for.
        limits: on the inputs.

    Raises:
        BadRequest, PayloadTooLarge: the sentence says what is wrong and where.
    """
    size = _json_size(header_length, len(body))
    if size == 0:
        return _raw(body, limits)
    document = parse(body if size == len(body) else body[:size])
    in_binary = _flag(_parameters(document.json, "the request"), "binary_data_output", otherwise=False)
    asked = InferenceRequest(_wanted(document.json, outputs, in_binary), _id(document.json), binary=in_binary)
    binary = memoryview(body)[size:]
    one = _only_input(document.json.get("inputs"))
    data, left = _binary_data(one, binary)
    if left:
        rest = f"{tensors.many(left, 'byte')} {'is' if left == 1 else 'are'}"
        raise BadRequest(f"{rest} left behind the data of {one['name']}.")
    tensors.check_datatype(one["name"], one.get("datatype"))
    if one["name"] == IMAGE:
        asked.pictures = _pictures(one, data, limits)
    else:
        asked.pixels = await _pixels(one, data, document, limits)
    return asked


def _json_size(header_length: bytes, body_size: int) -> int:
    """Bytes of JSON; 0 for a raw request."""
    if not header_length:
        if not body_size:
            raise BadRequest("The body is empty; send a JSON object with inputs.")
        return body_size
    digits = header_length.strip()
    if not digits.isdigit() or len(digits) > 12 or int(digits) > body_size:
        said = digits[:20].decode("latin-1")
        raise BadRequest(
            f"Inference-Header-Content-Length is {said!r}, and must be the length of the JSON that the body begins "
            f"with, a whole number of at most {body_size}."
        )
    return int(digits)


def _raw(body: bytes, limits: Limits) -> InferenceRequest:
    if not body or len(body) % SIZE:
        raise BadRequest(f"Inference-Header-Content-Length 0 means that the body is pixels, {SIZE} bytes a digit.")
    shape = tensors.check_pixels_shape([len(body) // SIZE, SIZE], limits.digits)
    return InferenceRequest([], pixels=tensors.pixels_from_bytes(body, shape), binary=True)


def _id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest("id must be a string.")
    return request_id


def _parameters(what: dict[str, Any], where: str) -> dict[str, Any]:
    """Parameters; those that mean nothing here (priority, timeout, sequences) do no harm."""
    parameters = what.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"The parameters of {where} must be an object.")
    if "shared_memory_region" in parameters:
        whose = where[0].upper() + where[1:]
        raise BadRequest(f"{whose} is in shared memory, which is not offered here; send its data in the body.")
    return parameters


def _flag(parameters: dict[str, Any], key: str, otherwise: bool) -> bool:
    value = parameters.get(key, otherwise)
    if not isinstance(value, bool):
        raise BadRequest(f"The parameter {key} must be true or false.")
    return value


def _named(items: object, what: str) -> list[dict[str, Any]]:
    """A list of objects with different names."""
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise BadRequest(f"{what} must be a list of objects, each with a name.")
    names = [one.get("name") for one in items]
    if not all(isinstance(name, str) for name in names):
        raise BadRequest(f"Each of {what} must have a name, a string.")
    if len(set(names)) != len(names):
        raise BadRequest(f"One of {what} is named twice.")
    return items


# -- outputs ------------------------------------------------------------------------------------------------


def _wanted(document: dict[str, Any], outputs: Sequence[str], binary: bool) -> list[RequestedOutput]:
    named = document.get("outputs")
    return [] if named is None else [_one_wanted(one, outputs, binary) for one in _named(named, "outputs")]


def _one_wanted(one: dict[str, Any], outputs: Sequence[str], binary: bool) -> RequestedOutput:
    name = one["name"]
    if name not in outputs:
        raise BadRequest(f"There is no output {name[:40]!r}; this model has {' and '.join(outputs)}.")
    parameters = _parameters(one, f"Output {name}")
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise BadRequest("The parameter classification must be a whole number, 0 or more.")
    return RequestedOutput(name, _flag(parameters, "binary_data", binary), classes)


# -- the input ----------------------------------------------------------------------------------------------


def _only_input(items: object) -> dict[str, Any]:
    inputs = _named(items, "inputs")
    for one in inputs:
        if one["name"] not in tensors.DATATYPES:
            raise BadRequest(f"There is no input {one['name'][:40]!r}; send pixels (UINT8) or image (BYTES).")
    if len(inputs) != 1:
        raise BadRequest("Send exactly one input, either pixels or image.")
    return inputs[0]


def _binary_data(one: dict[str, Any], binary: memoryview) -> tuple[memoryview | None, int]:
    """The input's part of the binary data, None where its data are in the JSON, and the number of bytes behind it."""
    name, data = one["name"], one.get("data")
    size = _parameters(one, f"Input {name}").get("binary_data_size")
    if size is None and data is None:
        raise BadRequest(f"Input {name} has no data; send data, or binary_data_size and the bytes.")
    if size is None:
        return None, len(binary)
    if data is not None:
        raise BadRequest(f"Input {name} has both data and binary_data_size; send one of them.")
    if type(size) is not int or not 0 <= size <= len(binary):
        raise BadRequest(
            f"The binary_data_size of {name} must be a whole number of at most the {tensors.many(len(binary), 'byte')} "
            "behind the JSON; Inference-Header-Content-Length tells where it ends."
        )
    return binary[:size], len(binary) - size


def _pictures(one: dict[str, Any], data: memoryview | None, limits: Limits) -> list[Bytes]:
    shape = tensors.check_image_shape(one.get("shape"), limits.pictures)
    if data is None:
        return tensors.pictures_from_text(one["data"], shape)
    return tensors.pictures_from_bytes(data, shape[0])


async def _pixels(one: dict[str, Any], data: memoryview | None, document: Document, limits: Limits) -> Pixels:
    shape = tensors.check_pixels_shape(one.get("shape"), limits.digits)
    if data is not None:
        return tensors.pixels_from_bytes(data, shape)
    return await document.pixels(one, shape)
