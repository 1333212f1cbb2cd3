"""Drift: the index is near 0 for digits like those of the card, and large for other digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.feedback.drift import MIN_DIGITS, indices, stability
from service.repository.repository import Repository

ROOT = Path(__file__).parents[3]


def test_the_index_is_the_formula() -> None:
    assert stability([0.5, 0.5], [0.5, 0.5]) == 0
    assert stability([0.5, 0.5], [0.6, 0.4]) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert np.isfinite(stability([1.0, 0.0], [0.0, 1.0]))


@pytest.fixture
def reference() -> dict[str, Any]:
    """That of the shipped model."""
    return dict(Repository(ROOT / "models").card("digits", 1)["reference"])


def alike(reference: dict[str, Any], n: int) -> tuple[Any, Any]:
    """Arrays whose shares are those of the reference."""
    rng = np.random.default_rng(0)

    def drawn(shares: list[float], edges: list[float]) -> Any:
        middles = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
        return rng.choice(middles, n, p=np.array(shares) / sum(shares))

    ink = drawn(reference["ink_mean_histogram"], reference["ink_mean_edges"])
    confidence = drawn(reference["confidence_histogram"], reference["confidence_edges"]).clip(0.2, 1)
    classes = rng.choice(10, n, p=np.array(reference["class_shares"]) / sum(reference["class_shares"]))
    probabilities = np.repeat((1 - confidence)[:, None] / 9, 10, axis=1).astype(np.float32)
    probabilities[np.arange(n), classes] = confidence
    return np.broadcast_to(ink.round().astype(np.uint8)[:, None, None], (n, 28, 28)), probabilities


def test_digits_like_the_cards_do_not_drift(reference: dict[str, Any]) -> None:
    found = indices(reference, *alike(reference, 4000))
    assert set(found) == {"classes", "confidence", "ink"}
    assert max(found.values()) < 0.1


def test_other_digits_do(reference: dict[str, Any]) -> None:
    pixels, probabilities = alike(reference, 4000)
    assert indices(reference, 255 - pixels, probabilities)["ink"] > 0.25
    assert indices(reference, pixels, np.roll(probabilities * 0 + probabilities[:1], 1, axis=1))["classes"] > 0.25


def test_few_digits_or_a_card_without_a_reference_say_nothing(reference: dict[str, Any]) -> None:
    pixels, probabilities = alike(reference, MIN_DIGITS - 1)
    assert indices(reference, pixels, probabilities) == {}
    assert indices(None, *alike(reference, 4000)) == {}
    assert indices({"class_shares": "nonsense"}, *alike(reference, 4000)) == {}
