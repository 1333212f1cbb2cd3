"""What HTTP and gRPC share of an inference: inputs to pixels, and which outputs are computed and returned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.engine.version import Lecture
from service.errors import Unavailable, UnsupportedMediaType
from service.openinference.inference import lecture_of, limits_of, outputs_of, pixels_of, split_outputs
from service.openinference.request import InferenceRequest, RequestedOutput
from service.settings import Settings
from tests.support.bodies import as_image
from tests.support.models import digit, digits, publish
from tests.support.v2 import publish_with_lecture_output

PROBABILITIES, LECTURE = RequestedOutput("probabilities"), RequestedOutput("lecture_output")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    root = tmp_path_factory.mktemp("models")
    publish(root)
    publish_with_lecture_output(root, name="both")
    made = create_app(Settings(models_dir=root, feedback_path=root / "f.sqlite", max_instances=7, max_files=3))
    yield made
    made.state.context.engine.close()


def test_limits_come_from_the_settings(app: FastAPI) -> None:
    limits = limits_of(app.state.context.settings)
    assert (limits.digits, limits.pictures) == (7, 3)


def test_pixels_are_taken_as_they_are_and_pictures_are_decoded(app: FastAPI) -> None:
    context = app.state.context
    sent = digits(3, 4)
    assert asyncio.run(pixels_of(InferenceRequest([], pixels=sent), context)) is sent
    pictures = [as_image(digit(value)) for value in (3, 4)]
    assert asyncio.run(pixels_of(InferenceRequest([], pictures=[*pictures]), context)).shape == (2, 28, 28)
    with pytest.raises(UnsupportedMediaType, match=r"^image\[1\]: "):
        asyncio.run(pixels_of(InferenceRequest([], pictures=[pictures[0], b"hello"]), context))


def test_the_outputs_of_a_version(app: FastAPI) -> None:
    engine = app.state.context.engine
    assert outputs_of(engine.served("digits")) == ["probabilities"]
    assert outputs_of(engine.served("both")) == ["probabilities", "lecture_output"]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], Lecture.OPTIONAL),
        ([PROBABILITIES], Lecture.UNWANTED),
        ([LECTURE], Lecture.REQUIRED),
        ([PROBABILITIES, LECTURE], Lecture.REQUIRED),
    ],
)
def test_whether_the_lecture_output_is_computed(outputs: list[RequestedOutput], expected: Lecture) -> None:
    assert lecture_of(InferenceRequest(outputs)) is expected


def test_results_are_split_into_outputs() -> None:
    values = np.arange(330, dtype=np.float32).reshape(3, 110)
    found = split_outputs(values, InferenceRequest([]))
    assert np.array_equal(found["probabilities"], values[:, :10])
    assert found["lecture_output"].shape == (3, 10, 10, 1)
    assert np.array_equal(found["lecture_output"].reshape(3, 100), values[:, 10:])


@pytest.mark.parametrize("outputs", [[], [PROBABILITIES]])
def test_a_version_without_the_lecture_output(outputs: list[RequestedOutput]) -> None:
    assert list(split_outputs(np.zeros((3, 10), np.float32), InferenceRequest(outputs))) == ["probabilities"]


def test_a_requested_output_that_another_version_lost_is_a_503() -> None:
    """A version without it was promoted between the check of the request and its run."""
    with pytest.raises(Unavailable, match="lecture_output"):
        split_outputs(np.zeros((3, 10), np.float32), InferenceRequest([PROBABILITIES, LECTURE]))
