"""Feedback in training: added to the digits to learn from, never to those held out, and counted in the card."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import FeedbackUnavailable
from service.feedback.store import Correction, FeedbackStore
from training.data import corrections
from training.data.digits import LabelledDigits


def some_digits(start: int, count: int) -> LabelledDigits:
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, 0, 0] = np.arange(start, start + count)
    return LabelledDigits(pixels, (np.arange(count) % 10).astype(np.uint8))


def test_corrections_are_learned_from_with_their_weight(tmp_path: Path) -> None:
    held_out = some_digits(100, 10)
    store = FeedbackStore(tmp_path / "f.sqlite")
    for picture in (some_digits(200, 3).pixels[2], some_digits(200, 3).pixels[1]):
        store.add(Correction(picture, 7))
    store.add(Correction(held_out.pixels[4], 3))
    store.close()
    found = corrections.read(tmp_path / "f.sqlite", held_out, weight=4)
    assert found.counts == {"digits": 2, "weight": 4, "left_out_as_held_out": 1}
    assert len(found.digits) == 8
    assert found.digits.labels.tolist() == [7] * 8
    assert sorted(found.digits.pixels[:, 0, 0].tolist()) == [201] * 4 + [202] * 4


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FeedbackUnavailable, match=r"nothing\.sqlite"):
        corrections.read(tmp_path / "nothing.sqlite", some_digits(100, 10), 1)
