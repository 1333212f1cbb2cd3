"""One inference of the Open Inference Protocol over HTTP: body -> what is asked, arrays -> body of the answer.

A body is JSON, and behind it the data of those tensors that are sent as binary data, in their order; the header
Inference-Header-Content-Length tells the length of the JSON. Where it tells 0, all of the body is `pixels`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from service import tensors
from service.bodies.pixels import SIZE, Pixels
from service.errors import BadRequest
from service.tensors import IMAGE, PIXELS, Bytes, Floats

PIECE_BYTES = 64 * 1024
CUT = "cut out: " + secrets.token_hex(8)  # stands in the JSON where a long list of numbers was
KEY = b'"data"'
NUMPY = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is asked for, as binary data or JSON, or its `classes` highest values instead."""

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(slots=True)
class Asked:
    """A request: either pixels, uint8 (n, 28, 28), or pictures, files."""

    outputs: list[Wanted]
    id: str | None = None
    pixels: Pixels | None = None
    pictures: list[Bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """Most digits, and most pictures, of one request."""

    digits: int
    pictures: int


async def read(body: bytes, header_length: bytes, outputs: Sequence[str], limits: Limits) -> Asked:
    """What a body asks for.

    Args:
        body: as it came, decompressed.
        header_length: what Inference-Header-Content-Length says, empty without one.
        outputs: names that may be asked for, all of which are meant where none is.
        limits: on the inputs.

    Raises:
        BadRequest, PayloadTooLarge: the sentence says what is wrong and where.
    """
    size = _json_size(header_length, len(body))
    if size == 0:
        shape = tensors.check_pixels_shape([len(body) // SIZE, SIZE], limits.digits)
        return Asked([Wanted(name, binary=True) for name in outputs], pixels=tensors.pixels_from_bytes(body, shape))
    text = body if size == len(body) else body[:size]
    document, numbers = _parse(text)
    asked = Asked(_wanted(document, outputs), _id(document))
    await _Inputs(asked, text, numbers, memoryview(body)[size:], limits).take(document.get("inputs"))
    return asked


async def write(
    name: str, version: int, asked: Asked, arrays: dict[str, Floats], labels: Sequence[str]
) -> tuple[bytes, int]:
    """The body of the answer, and the length of the JSON in it, 0 where it is nothing else.

    Args:
        name, version: the model that answered.
        asked: what read() returned.
        arrays: float32 (n, ...), for every output that is asked for.
        labels: of the classes.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": str(version)}
    if asked.id is not None:
        document["id"] = asked.id
    binary: list[bytes] = []
    document["outputs"] = [
        await _output(wanted, arrays[wanted.name], labels, binary) for wanted in asked.outputs if wanted.name in arrays
    ]
    header = orjson.dumps(document, option=NUMPY)
    return (b"".join([header, *binary]), len(header)) if binary else (header, 0)


# -- requests -----------------------------------------------------------------------------------------------


def _json_size(header_length: bytes, body_size: int) -> int:
    """Bytes of JSON; 0 for a raw request."""
    if not header_length:
        if not body_size:
            raise BadRequest("The body is empty; send a JSON object with inputs.")
        return body_size
    if not header_length.isdigit() or len(header_length) > 12 or int(header_length) > body_size:
        raise BadRequest(
            "Inference-Header-Content-Length must be the number of bytes of JSON that the body begins with, at most "
            f"{body_size}, and is {header_length[:20].decode('latin-1')!r}."
        )
    return int(header_length)


def _parse(text: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON, and the text of a long flat list of numbers that was cut out of it: to be parsed piece by piece."""
    rest, numbers = _cut(text) if len(text) > PIECE_BYTES else (text, b"")
    document = _loads(rest)
    if numbers and CUT not in [one.get("data") for one in _objects(document.get("inputs"))]:
        return _loads(text), b""  # it was no tensor's data
    return document, numbers


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Only commas, blanks and what numbers are made of stand between the brackets, so the cut changes nothing else."""
    key = text.find(KEY)
    start = text.find(b"[", key) if key > 0 and text[key - 1] != ord("\\") else -1
    end = text.find(b"]", start)
    if start < 0 or end < 0 or text[key + len(KEY) : start].strip() != b":":
        return text, b""
    numbers = text[start + 1 : end]
    if len(numbers) < PIECE_BYTES or any(other in numbers for other in (b"[", b'"', b"{", b"e")):
        return text, b""
    return b'%b"%b"%b' % (text[:start], CUT.encode(), text[end + 1 :]), numbers


def _loads(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest('The JSON must be an object: {"inputs": [...]}.')
    return document


def _id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest("id must be a string.")
    return request_id


def _parameters(what: dict[str, Any], where: str) -> dict[str, Any]:
    """Parameters, of which those that mean nothing here (priority, timeout, sequences) are passed over."""
    parameters = what.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"The parameters of {where} must be an object.")
    if "shared_memory_region" in parameters:
        raise BadRequest(f"{where} is in shared memory, which is not offered here; send its data in the body.")
    return parameters


def _flag(parameters: dict[str, Any], key: str, otherwise: bool) -> bool:
    value = parameters.get(key, otherwise)
    if not isinstance(value, bool):
        raise BadRequest(f"The parameter {key} must be true or false.")
    return value


def _objects(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _named(items: object, what: str) -> list[dict[str, Any]]:
    """A list of objects with different names."""
    found = _objects(items)
    if not isinstance(items, list) or len(found) != len(items):
        raise BadRequest(f"{what} must be a list of objects, each with a name.")
    names = [one.get("name") for one in found]
    if not all(isinstance(name, str) for name in names):
        raise BadRequest(f"Each of {what} must have a name, a string.")
    if len(set(names)) != len(names):
        raise BadRequest(f"One of {what} is named twice.")
    return found


def _wanted(document: dict[str, Any], outputs: Sequence[str]) -> list[Wanted]:
    binary = _flag(_parameters(document, "the request"), "binary_data_output", otherwise=False)
    asked = _named(document.get("outputs") or [], "outputs")
    return [_one_wanted(one, outputs, binary) for one in asked] or [Wanted(name, binary) for name in outputs]


def _one_wanted(one: dict[str, Any], outputs: Sequence[str], binary: bool) -> Wanted:
    name = one["name"]
    if name not in outputs:
        raise BadRequest(f"There is no output {name[:40]!r}; this model has: {', '.join(outputs)}.")
    parameters = _parameters(one, f"output {name}")
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise BadRequest("The parameter classification must be a whole number, 0 or more.")
    return Wanted(name, _flag(parameters, "binary_data", binary), classes)


class _Inputs:
    """The tensors of one request, taken one after the other from the JSON and from the binary data behind it."""

    def __init__(self, asked: Asked, text: bytes, numbers: bytes, binary: memoryview, limits: Limits) -> None:
        self._asked = asked
        self._text = text
        self._numbers = numbers
        self._binary = binary
        self._limits = limits

    async def take(self, items: object) -> None:
        inputs = _named(items, "inputs")
        for one in inputs:
            if one["name"] not in tensors.DATATYPES:
                raise BadRequest(f"There is no input {one['name'][:40]!r}; send pixels (UINT8) or image (BYTES).")
        if len(inputs) != 1:
            raise BadRequest("Send exactly one input: either pixels or image.")
        await self._take(inputs[0])
        if self._binary:
            raise BadRequest(f"{len(self._binary)} bytes are left behind the data of all inputs.")

    async def _take(self, one: dict[str, Any]) -> None:
        name, shape, data = one["name"], one.get("shape"), one.get("data")
        tensors.check_datatype(name, one.get("datatype"))
        binary = self._binary_data(name, _parameters(one, f"input {name}"), data)
        if name == IMAGE:
            count = tensors.check_image_shape(shape, self._limits.pictures)
            from_bytes, from_text = tensors.pictures_from_bytes, tensors.pictures_from_text
            pictures = from_text(data, shape) if binary is None else from_bytes(binary, count)  # type: ignore[arg-type]
            self._asked.pictures = pictures
            return
        sizes = tensors.check_pixels_shape(shape, self._limits.digits)
        if binary is not None:
            self._asked.pixels = tensors.pixels_from_bytes(binary, sizes)
        elif data == CUT and self._numbers:
            self._asked.pixels = await self._from_pieces(sizes)
        else:
            self._asked.pixels = tensors.pixels_from_numbers(data, sizes, plain=b"e" not in self._text)

    def _binary_data(self, name: str, parameters: dict[str, Any], data: object) -> memoryview | None:
        """The input's own part of the binary data; None where its data are in the JSON."""
        size = parameters.get("binary_data_size")
        if size is None:
            if data is None:
                raise BadRequest(f"Input {name} has no data; send data, or binary_data_size and the bytes.")
            return None
        if data is not None:
            raise BadRequest(f"Input {name} has both data and binary_data_size; send one of them.")
        if type(size) is not int or not 0 <= size <= len(self._binary):
            raise BadRequest(
                f"binary_data_size of {name} must be a whole number of bytes, at most the {len(self._binary)} that "
                "follow the JSON (Inference-Header-Content-Length tells where it ends)."
            )
        taken, self._binary = self._binary[:size], self._binary[size:]
        return taken

    async def _from_pieces(self, shape: list[int]) -> Pixels:
        """A long list of numbers, other requests passing between two pieces. What is wrong with one is found anew."""
        packed, at, end = [], 0, 0
        try:
            while end < len(self._numbers):
                end = self._numbers.find(b",", at + PIECE_BYTES)
                end = len(self._numbers) if end < 0 else end
                packed.append(bytes(orjson.loads(b"[%b]" % self._numbers[at:end])))
                at = end + 1
                await asyncio.sleep(0)
        except ValueError, TypeError:
            data = next(one["data"] for one in _loads(self._text)["inputs"])
            return tensors.pixels_from_numbers(data, shape)
        return tensors.pixels_from_bytes(b"".join(packed), shape)


# -- answers ------------------------------------------------------------------------------------------------


async def _output(wanted: Wanted, values: Floats, labels: Sequence[str], binary: list[bytes]) -> dict[str, Any]:
    if wanted.classes:
        return _classes(wanted, values, labels if values.ndim == 2 else [], binary)
    shown = {"name": wanted.name, "datatype": "FP32", "shape": list(values.shape)}
    if not wanted.binary:
        return shown | {"data": await _numbers(values.ravel())}
    binary.append(np.ascontiguousarray(values, "<f4").tobytes())
    return shown | {"parameters": {"binary_data_size": len(binary[-1])}}
