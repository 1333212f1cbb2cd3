"""Answers of /predict: JSON in pieces is the same as in one call, and CSV is a Kaggle submission."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.api.answers import PIECE_ROWS, as_json, csv_body, json_body
from service.engine.engine import Engine
from service.engine.version import LoadedVersion
from service.settings import Settings
from service.telemetry.metrics import Meter
from tests.support.models import publish


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedVersion]:
    root = tmp_path_factory.mktemp("models")
    publish(root)
    engine = Engine(Settings(models_dir=root), Meter())
    engine.start()
    yield engine.served()
    engine.close()


def probabilities(rows: int) -> Any:
    values = np.random.default_rng(rows).random((rows, 10), np.float32)
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("rows", [1, 2, PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS, 2 * PIECE_ROWS + 1])
def test_json_of_any_length_is_the_same_in_pieces(served: LoadedVersion, rows: int) -> None:
    values = probabilities(rows)
    body = asyncio.run(json_body(served, values))
    assert body == as_json(served, values)
    answer = json.loads(body)
    assert answer["model"] == {"name": "digits", "version": 1}
    assert len(answer["predictions"]) == rows
    for row, found in zip(values, answer["predictions"], strict=True):
        assert list(found) == ["digit", "confidence", "probabilities"]
        assert found["digit"] == row.argmax()
        assert np.float32(found["confidence"]) == row.max()
        assert np.array_equal(np.array(found["probabilities"], np.float32), row)


def test_other_tasks_run_while_a_long_answer_is_encoded(served: LoadedVersion) -> None:
    async def turns() -> int:
        task, count = asyncio.ensure_future(json_body(served, probabilities(40 * PIECE_ROWS))), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turns()) > 2


def test_of_equal_probabilities_the_lowest_digit_is_predicted(served: LoadedVersion) -> None:
    values = np.full((1, 10), 0.1, np.float32)
    assert json.loads(as_json(served, values))["predictions"][0]["digit"] == 0
    assert asyncio.run(csv_body(values)) == b"ImageId,Label\n1,0\n"


def test_csv_is_a_kaggle_submission() -> None:
    values = probabilities(2000)
    header, *lines = asyncio.run(csv_body(values)).decode().splitlines()
    assert header == "ImageId,Label"
    assert lines == [f"{i},{digit}" for i, digit in enumerate(values.argmax(axis=1), 1)]
