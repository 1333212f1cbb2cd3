"""ModelInferRequest -> InferenceRequest, and outputs -> ModelInferResponse. It knows no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.concurrency import cooperate
from service.digits import Pixels
from service.errors import BadRequest, pluralize
from service.openinference import tensors
from service.openinference.grpc.messages import Message, ModelInferResponse
from service.openinference.request import InferenceRequest, Limits, RequestedOutput, check_id
from service.openinference.tensors import DATATYPES, IMAGE, Bytes, Floats

CONTENTS = {"UINT8": "uint_contents", "BYTES": "bytes_contents"}
PIECE_NUMBERS = 32 * 1024
MAX_ELEMENTS = 16  # of inputs, outputs or axes; a request with more is rejected without reading them
CLASSIFICATION, SHARED_MEMORY = "classification", "shared_memory_region"


async def read(request: Message, outputs: Sequence[str], limits: Limits) -> InferenceRequest:
    """Validate a request and convert it.

    Args:
        request: a ModelInferRequest.
        outputs: names of the available outputs.
        limits: of the inputs.

    Raises:
        BadRequest, PayloadTooLarge: the message says what is wrong and where.
    """
    _check_counts(request)
    check_id(request.id)
    if SHARED_MEMORY in request.parameters:
        raise BadRequest("The request uses shared memory, which is not supported; send the data.")
    requested = [_output(one, outputs) for one in request.outputs]
    if len({one.name for one in requested}) != len(requested):
        raise BadRequest("Two of the outputs have the same name.")
    one, raw = _only_input(request)
    tensors.check_datatype(one.name, one.datatype)
    if one.name == IMAGE:
        return InferenceRequest(requested, request.id or None, pictures=_pictures(one, raw, limits))
    return InferenceRequest(requested, request.id or None, pixels=await _pixels(one, raw, limits))


async def write(
    name: str, version: int, request: InferenceRequest, outputs: Mapping[str, Floats], labels: Sequence[str]
) -> Message:
    """The answer, with its outputs as raw contents.

    Args:
        name, version: the model that answered.
        request: says which outputs to send.
        outputs: name -> float32 (n, ...), at least the requested ones. If none is named, all of these are sent.
        labels: names of the classes.
    """
    answer = ModelInferResponse(model_name=name, model_version=str(version), id=request.id or "")
    for output in request.requested(outputs):
        values = outputs[output.name]
        if output.classes:
            pieces = tensors.classified(values, output.classes, labels if values.ndim == 2 else ())
            shape = [len(values), min(output.classes, values[0].size)]
            answer.outputs.add(name=output.name, datatype="BYTES", shape=shape)
            answer.raw_output_contents.append(b"".join(await cooperate(map(tensors.as_bytes_tensor, pieces))))
        else:
            answer.outputs.add(name=output.name, datatype="FP32", shape=values.shape)
            answer.raw_output_contents.append(np.ascontiguousarray(values, "<f4").tobytes())
    return answer


def _check_counts(request: Message) -> None:
    """Reject too many elements before reading them: protobuf makes a Python object of each element that is read."""
    if len(request.inputs) > MAX_ELEMENTS:
        raise BadRequest(
            f"The request has {len(request.inputs)} inputs; send exactly one input, either pixels or image."
        )
    if len(request.outputs) > MAX_ELEMENTS:
        raise BadRequest(f"The request names {len(request.outputs)} outputs; name each output once.")
    for one in request.inputs:
        if len(one.shape) > MAX_ELEMENTS:
            raise BadRequest(f"The shape of {one.name[:40]!r} has {len(one.shape)} axes; it must be [n, 28, 28, 1].")


def _output(one: Message, outputs: Sequence[str]) -> RequestedOutput:
    if one.name not in outputs:
        raise BadRequest(f"There is no output {one.name[:40]!r}; this model has {' and '.join(outputs)}.")
    if SHARED_MEMORY in one.parameters:
        raise BadRequest(f"Output {one.name} uses shared memory, which is not supported.")
    classes = 0
    if CLASSIFICATION in one.parameters:
        given = one.parameters[CLASSIFICATION]
        classes = given.int64_param
        if given.WhichOneof("parameter_choice") != "int64_param" or classes < 0:
            raise BadRequest("The parameter classification must be an int64_param, 0 or more.")
    return RequestedOutput(one.name, binary=True, classes=classes)


def _only_input(request: Message) -> tuple[Message, bytes | None]:
    """The input, and its data if they are in raw_input_contents."""
    for one in request.inputs:
        if one.name not in DATATYPES:
            raise BadRequest(f"There is no input {one.name[:40]!r}; send pixels (UINT8) or image (BYTES).")
    if len(request.inputs) != 1:
        raise BadRequest("Send exactly one input, either pixels or image.")
    one, raw = request.inputs[0], request.raw_input_contents
    if SHARED_MEMORY in one.parameters:
        raise BadRequest(f"Input {one.name} uses shared memory, which is not supported; send the data.")
    if not raw:
        return one, None
    if len(raw) != 1 or one.HasField("contents"):
        raise BadRequest(f"Input {one.name} has data in several places; send one raw_input_contents, or contents.")
    return one, raw[0]


async def _pixels(one: Message, raw: bytes | None, limits: Limits) -> Pixels:
    shape = tensors.check_pixels_shape(list(one.shape), limits.digits)
    if raw is not None:
        return tensors.pixels_from_bytes(raw, shape)
    numbers: Any = _contents(one)
    tensors.check_size(len(numbers), shape)
    starts = range(0, len(numbers), PIECE_NUMBERS)
    packed = await cooperate(tensors.pack(numbers[at : at + PIECE_NUMBERS], plain=True, first=at) for at in starts)
    return tensors.pixels_from_bytes(b"".join(packed), shape)


def _pictures(one: Message, raw: bytes | None, limits: Limits) -> list[Bytes]:
    shape = tensors.check_image_shape(list(one.shape), limits.pictures)
    if raw is not None:
        return tensors.pictures_from_bytes(raw, shape[0])
    pictures: list[Bytes] = list(one.contents.bytes_contents) if _contents(one) else []
    if len(pictures) != shape[0]:
        found = pluralize(len(pictures), "element")
        raise BadRequest(f"{IMAGE} has {found} of data; its shape {shape} requires {shape[0]}.")
    return pictures


def _contents(one: Message) -> Sequence[int] | Sequence[bytes]:
    expected = CONTENTS[one.datatype]
    for field, _ in one.contents.ListFields():
        if field.name != expected:
            raise BadRequest(f"The data of {one.name} are in {field.name}; {one.datatype} data belong in {expected}.")
    found: Sequence[int] | Sequence[bytes] = getattr(one.contents, expected)
    return found
