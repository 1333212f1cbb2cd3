"""The steps of inference that HTTP and gRPC share: limits, inputs to pixels, and the choice of outputs."""

from __future__ import annotations

from service.context import Context
from service.digits import Pixels, Probabilities
from service.engine.model import CLASSES, LECTURE_OUTPUT, LECTURE_SHAPE, OUTPUT
from service.engine.version import Lecture, LoadedVersion
from service.errors import Unavailable
from service.inputs.pictures import decode_pictures
from service.openinference.request import InferenceRequest, Limits
from service.openinference.tensors import IMAGE, Floats
from service.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """The limits of one request."""
    return Limits(settings.max_instances, settings.max_files)


async def pixels_of(request: InferenceRequest, context: Context) -> Pixels:
    """The digits of a request, with pictures decoded: uint8 (n, 28, 28)."""
    if request.pixels is not None:
        return request.pixels
    return await decode_pictures(request.pictures, context.settings.max_image_pixels, IMAGE)


def outputs_of(served: LoadedVersion) -> list[str]:
    """Names of the outputs that a request may name."""
    return [OUTPUT, LECTURE_OUTPUT] if served.model.has_lecture_output else [OUTPUT]


def lecture_of(request: InferenceRequest) -> Lecture:
    """Whether the lecture's output is requested: by name, or implicitly, if no output is named."""
    if request.names_output(LECTURE_OUTPUT):
        return Lecture.REQUIRED
    return Lecture.UNWANTED if request.outputs else Lecture.OPTIONAL


def split_outputs(values: Probabilities, request: InferenceRequest) -> dict[str, Floats]:
    """Name -> output, from float32 (n, 10), or (n, 110) as Model.predict_all returns it.

    Raises:
        Unavailable: the version that answered does not have a requested output.
    """
    outputs, cells = {OUTPUT: values[:, :CLASSES]}, values[:, CLASSES:]
    if cells.size:
        outputs[LECTURE_OUTPUT] = cells.reshape(-1, *LECTURE_SHAPE)
    elif request.names_output(LECTURE_OUTPUT):  # another version was promoted after the request was validated
        raise Unavailable(f"The served version has no {LECTURE_OUTPUT}; send the request again.")
    return outputs
