"""The body of an answer: every number as the model gave it, in JSON or behind it, and the classes by their names."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from service.openinference.answer import PIECE_NUMBERS, write
from service.openinference.request import InferenceRequest, RequestedOutput
from tests.support.v2 import texts

LABELS = [f"<{number}>" for number in range(10)]
VALUES = np.random.default_rng(4).dirichlet(np.ones(10), 3).astype(np.float32)
CELLS = np.random.default_rng(5).random((3, 10, 10, 1), np.float32)
BOTH = {"probabilities": VALUES, "lecture_output": CELLS}


def written(request: InferenceRequest, outputs: Any = BOTH) -> tuple[dict[str, Any], bytes, int]:
    """The JSON, the bytes behind it, and the length that is said."""
    body, size = asyncio.run(write("digits", 7, request, outputs, LABELS))
    end = size or len(body)
    return json.loads(body[:end]), body[end:], size


def output(name: str, **more: Any) -> InferenceRequest:
    return InferenceRequest([RequestedOutput(name, **more)])


def test_the_model_its_version_and_every_output() -> None:
    document, behind, size = written(InferenceRequest([]))
    assert (document["model_name"], document["model_version"]) == ("digits", "7")
    assert list(document) == ["model_name", "model_version", "outputs"]
    assert (behind, size) == (b"", 0)
    for one, values in zip(document["outputs"], BOTH.values(), strict=True):
        assert (one["datatype"], one["shape"]) == ("FP32", list(values.shape))
        assert np.array_equal(np.array(one["data"], np.float32).reshape(values.shape), values)
    assert [one["name"] for one in document["outputs"]] == list(BOTH)


def test_the_id_is_sent_back() -> None:
    document, _, _ = written(InferenceRequest([], id='an "id" of ümlauts'))
    assert document["id"] == 'an "id" of ümlauts'


def test_outputs_come_in_the_order_in_which_they_are_asked_for() -> None:
    names = ["lecture_output", "probabilities"]
    document, _, _ = written(InferenceRequest([RequestedOutput(name) for name in names]))
    assert [one["name"] for one in document["outputs"]] == names
    document, _, _ = written(output("probabilities"))
    assert [one["name"] for one in document["outputs"]] == ["probabilities"]


@pytest.mark.parametrize("values", [VALUES, VALUES[::2], np.asfortranarray(VALUES), VALUES.astype(">f4")])
def test_binary_data_are_little_endian_and_row_by_row(values: Any) -> None:
    document, behind, size = written(output("probabilities", binary=True), {"probabilities": values})
    [one] = document["outputs"]
    assert "data" not in one
    assert one["parameters"] == {"binary_data_size": len(behind)}
    assert size > 0
    assert np.array_equal(np.frombuffer(behind, "<f4").reshape(one["shape"]), values)


def test_outputs_in_json_and_in_binary_share_one_answer() -> None:
    request = InferenceRequest([RequestedOutput("probabilities", binary=True), RequestedOutput("lecture_output")])
    document, behind, _ = written(request)
    first, second = document["outputs"]
    assert behind == VALUES.tobytes()
    assert ("data" in first, "data" in second, "parameters" in second) == (False, True, False)


def test_two_outputs_in_binary_follow_each_other() -> None:
    document, behind, _ = written(InferenceRequest([], binary=True))
    sizes = [one["parameters"]["binary_data_size"] for one in document["outputs"]]
    assert sizes == [VALUES.nbytes, CELLS.nbytes]
    assert behind == VALUES.tobytes() + CELLS.tobytes()


@pytest.mark.parametrize("count", [PIECE_NUMBERS // 10, PIECE_NUMBERS // 10 + 1, 3 * PIECE_NUMBERS // 10 + 1])
def test_long_answers_are_the_same_numbers(count: int) -> None:
    """From PIECE_NUMBERS on they are written in pieces."""
    values = np.random.default_rng(6).random((count, 10), np.float32)
    document, _, _ = written(output("probabilities"), {"probabilities": values})
    assert np.array_equal(np.array(document["outputs"][0]["data"], np.float32).reshape(-1, 10), values)


@pytest.mark.parametrize("classes", [0, 3])
def test_other_requests_pass_between_the_pieces_of_a_long_answer(classes: int) -> None:
    values = {"probabilities": np.random.default_rng(6).random((20_000, 10), np.float32)}

    async def turns() -> int:
        task, count = asyncio.ensure_future(write("digits", 7, output("probabilities", classes=classes), values, [])), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        await task
        return count

    assert asyncio.run(turns()) > 1  # one were all of it in one go


def test_the_highest_classes_with_their_names() -> None:
    document, _, _ = written(output("probabilities", classes=2))
    [one] = document["outputs"]
    assert (one["datatype"], one["shape"]) == ("BYTES", [3, 2])
    best = np.argsort(-VALUES, axis=1)[:, :2]
    wanted = [f"{row[i]:f}:{i}:<{i}>" for row, order in zip(VALUES, best, strict=True) for i in order]
    assert one["data"] == wanted


def test_classes_in_binary_are_the_same_texts() -> None:
    document, _, _ = written(output("probabilities", classes=2))
    in_binary, behind, _ = written(output("probabilities", classes=2, binary=True))
    [one] = in_binary["outputs"]
    assert one["parameters"] == {"binary_data_size": len(behind)}
    assert texts(behind) == document["outputs"][0]["data"]


def test_more_classes_than_there_are_give_all_of_them() -> None:
    document, _, _ = written(output("probabilities", classes=99))
    assert document["outputs"][0]["shape"] == [3, 10]
    assert len(document["outputs"][0]["data"]) == 30


def test_cells_of_the_lecture_have_no_class_names() -> None:
    """They are a hundred, and the names are those of ten classes."""
    document, _, _ = written(output("lecture_output", classes=1))
    best = CELLS.reshape(3, 100).argmax(axis=1)
    assert document["outputs"][0]["shape"] == [3, 1]
    assert [text.split(":")[1:] for text in document["outputs"][0]["data"]] == [[str(cell)] for cell in best]
