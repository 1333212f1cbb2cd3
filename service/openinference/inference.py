"""What inference means in the Open Inference Protocol, over HTTP and gRPC alike: outputs, limits, inputs to pixels."""

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
    """What one request may carry."""
    return Limits(settings.max_instances, settings.max_files)


async def pixels_of(asked: InferenceRequest, context: Context) -> Pixels:
    """The digits of a request, its pictures decoded: uint8 (n, 28, 28)."""
    if asked.pixels is not None:
        return asked.pixels
    return await decode_pictures(asked.pictures, context.settings.max_image_pixels, IMAGE)


def outputs_of(served: LoadedVersion) -> list[str]:
    """Names of the outputs that may be asked for."""
    return [OUTPUT, LECTURE_OUTPUT] if served.model.has_lecture_output else [OUTPUT]


def lecture_of(asked: InferenceRequest) -> Lecture:
    """Whether the lecture's output is asked for: by its name, or, where no output is named, as one of all."""
    if asked.names(LECTURE_OUTPUT):
        return Lecture.REQUIRED
    return Lecture.UNWANTED if asked.outputs else Lecture.OPTIONAL


def split_outputs(values: Probabilities, asked: InferenceRequest) -> dict[str, Floats]:
    """Each output by its name, from (n, 10) or (n, 110) as Model.predict_all has it.

    Raises:
        Unavailable: an output is asked for that the version that answered does not have.
    """
    outputs, cells = {OUTPUT: values[:, :CLASSES]}, values[:, CLASSES:]
    if cells.size:
        outputs[LECTURE_OUTPUT] = cells.reshape(-1, *LECTURE_SHAPE)
    elif asked.names(LECTURE_OUTPUT):  # another version was promoted meanwhile
        raise Unavailable(f"The version that is served now has no {LECTURE_OUTPUT}; send the request again.")
    return outputs
