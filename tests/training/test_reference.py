"""The statistics that drift is measured against."""

import numpy as np
import pytest

from training.reference import reference

RNG = np.random.default_rng(0)


LABELS = RNG.integers(0, 10, 500).astype(np.uint8)


PROBABILITIES = RNG.dirichlet(np.ones(10), 500).astype(np.float32)


SAID = PROBABILITIES.argmax(axis=1)


def test_the_reference_counts_every_digit_once() -> None:
    pixels = RNG.integers(0, 256, (500, 28, 28), dtype=np.uint8)
    found = reference(pixels, PROBABILITIES)
    np.testing.assert_allclose(found["class_shares"], np.bincount(SAID, minlength=10) / 500)
    assert found["ink_mean_histogram"][-1] == 1.0  # random pixels are much brighter than handwriting
    assert found["confidence_histogram"][9] == pytest.approx((PROBABILITIES.max(axis=1) >= 0.999).mean())
