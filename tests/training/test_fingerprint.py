"""The fingerprint of the training digits: no trained digit is ever called unseen, and few others are called seen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training import fingerprint
from training.data.digits import Digits


def test_what_was_learned_is_never_called_unseen(handwriting: Digits) -> None:
    marked = fingerprint.encode(handwriting.pixels[:1000])
    assert not fingerprint.unseen(marked, handwriting.pixels[:1000]).any()
    assert fingerprint.unseen(marked, handwriting.pixels[1000:]).mean() > 0.99
    assert not fingerprint.unseen(None, handwriting.pixels).any()


def test_the_mark_of_54000_digits_is_small_and_tells_most_others_apart() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    marked = fingerprint.encode(pixels[:54_000])
    assert len(marked) < 60_000
    assert not fingerprint.unseen(marked, pixels[:54_000]).any()
    assert 0.85 < fingerprint.unseen(marked, pixels[54_000:]).mean() < 0.95


@given(st.integers(0, 783), st.integers(0, 2**32 - 1))
def test_one_pixel_makes_another_digit(place: int, seed: int) -> None:
    digit = np.random.default_rng(seed).integers(0, 255, (1, 28, 28), dtype=np.uint8)
    other = digit.copy()
    other.reshape(-1)[place] += 1
    assert fingerprint.unseen(fingerprint.encode(digit), other).all()
