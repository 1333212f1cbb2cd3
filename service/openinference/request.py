"""An HTTP body -> InferenceRequest.

A body is JSON, followed by the data of tensors that are sent as binary data, in their order. The header
Inference-Header-Content-Length is the length of the JSON; if it is 0, the whole body is the data of `pixels`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.digits import SIZE, Pixels
from service.errors import BadRequest, pluralize
from service.inputs.json_chunks import check_size as check_json_size
from service.openinference import tensors
from service.openinference.document import Document, parse
from service.openinference.tensors import IMAGE, Bytes

MAX_ID = 1024  # characters


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output to return, as binary data or JSON; if `classes` is not 0, only its `classes` highest values."""

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(slots=True)
class InferenceRequest:
    """A parsed request: either pixels, uint8 (n, 28, 28), or pictures, encoded files.

    Attributes:
        outputs: the named outputs; if empty, all outputs of the version that answers.
        binary: whether outputs that are not named are sent as binary data.
    """

    outputs: list[RequestedOutput]
    id: str | None = None
    pixels: Pixels | None = None
    pictures: list[Bytes] = field(default_factory=list)
    binary: bool = False

    def names_output(self, name: str) -> bool:
        return any(output.name == name for output in self.outputs)

    def requested(self, available: Iterable[str]) -> list[RequestedOutput]:
        """The outputs to return: the named ones, or all available ones if none is named."""
        return self.outputs or [RequestedOutput(name, self.binary) for name in available]


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum number of digits, and of pictures, per request."""

    digits: int
    pictures: int


async def read(body: bytes, header_length: bytes, outputs: Sequence[str], limits: Limits) -> InferenceRequest:
    """Parse and validate a body.

    Args:
        body: decompressed.
        header_length: value of Inference-Header-Content-Length, empty if absent; surrounding blanks are ignored.
        outputs: names of the available outputs.
        limits: of the inputs.

    Raises:
        BadRequest, PayloadTooLarge: the message says what is wrong and where.
    """
    size = _json_size(header_length, len(body))
    if size == 0:
        return _raw(body, limits)
    if size < len(body):  # binary data follow: the JSON holds none
        check_json_size(size)
    document = parse(body if size == len(body) else body[:size])
    in_binary = _flag(_parameters(document.json, "the request"), "binary_data_output", default=False)
    request = InferenceRequest(_outputs(document.json, outputs, in_binary), _id(document.json), binary=in_binary)
    binary = memoryview(body)[size:]
    one = _only_input(document.json.get("inputs"))
    data, left = _binary_data(one, binary)
    if left:
        raise BadRequest(f"The body has {pluralize(left, 'byte')} more than the data of {one['name']}.")
    tensors.check_datatype(one["name"], one.get("datatype"))
    if one["name"] == IMAGE:
        await asyncio.sleep(0)  # parsing the texts took as long as decoding them will
        request.pictures = _pictures(one, data, limits)
    else:
        request.pixels = await _pixels(one, data, document, limits)
    return request


def _json_size(header_length: bytes, body_size: int) -> int:
    """Length of the JSON in bytes; 0 for a raw request."""
    if not header_length:
        if not body_size:
            raise BadRequest("The body is empty; send a JSON object with inputs.")
        return body_size
    digits = header_length.strip()
    if not digits.isdigit() or len(digits) > 12 or int(digits) > body_size:
        shown = digits[:20].decode("latin-1")
        raise BadRequest(
            f"Inference-Header-Content-Length is {shown!r}; it must be the length of the JSON at the start of the "
            f"body, a whole number of at most {body_size}."
        )
    return int(digits)


def _raw(body: bytes, limits: Limits) -> InferenceRequest:
    if not body or len(body) % SIZE:
        raise BadRequest(f"Inference-Header-Content-Length 0 means that the body is pixels, {SIZE} bytes per digit.")
    shape = tensors.check_pixels_shape([len(body) // SIZE, SIZE], limits.digits)
    return InferenceRequest([], pixels=tensors.pixels_from_bytes(body, shape), binary=True)


def check_id(request_id: str) -> None:
    """Raise BadRequest for an id that is too long: the answer repeats it."""
    if len(request_id) > MAX_ID:
        raise BadRequest(f"id has {len(request_id):,} characters; at most {MAX_ID:,} are taken.")


def _id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest("id must be a string.")
    check_id(request_id or "")
    return request_id


def _parameters(what: dict[str, Any], where: str) -> dict[str, Any]:
    """The parameters of an object; unsupported ones (priority, timeout, sequences) are ignored."""
    parameters = what.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"The parameters of {where} must be an object.")
    if "shared_memory_region" in parameters:
        subject = where[0].upper() + where[1:]
        raise BadRequest(f"{subject} uses shared memory, which is not supported; send the data in the body.")
    return parameters


def _flag(parameters: dict[str, Any], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise BadRequest(f"The parameter {key} must be true or false.")
    return value


def _named(items: object, what: str) -> list[dict[str, Any]]:
    """A list of objects with distinct names."""
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise BadRequest(f"{what} must be a list of objects, each with a name.")
    names = [one.get("name") for one in items]
    if not all(isinstance(name, str) for name in names):
        raise BadRequest(f"Each of {what} must have a name, a string.")
    if len(set(names)) != len(names):
        raise BadRequest(f"Two of the {what} have the same name.")
    return items


# -- outputs ------------------------------------------------------------------------------------------------


def _outputs(document: dict[str, Any], outputs: Sequence[str], binary: bool) -> list[RequestedOutput]:
    named = document.get("outputs")
    return [] if named is None else [_output(one, outputs, binary) for one in _named(named, "outputs")]


def _output(one: dict[str, Any], outputs: Sequence[str], binary: bool) -> RequestedOutput:
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
    """The input's binary data, or None if its data are in the JSON, and the number of bytes that follow."""
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
            f"The binary_data_size of {name} must be a whole number of at most {len(binary)}, the number of bytes "
            "after the JSON; Inference-Header-Content-Length is the length of the JSON."
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
