"""What reaches the network: every digit once an epoch, in an order that seed and epoch decide, a little distorted."""

import numpy as np
import pytest

from training.batches import batches, normalise, steps_per_epoch
from training.config import TrainConfig

PIXELS = np.arange(70, dtype=np.uint8)[:, None, None] * np.ones((70, 28, 28), np.uint8)
TARGETS = np.eye(70, dtype=np.float32)


def stream(epochs: range, **options: object) -> list[tuple[np.ndarray, np.ndarray]]:
    config = TrainConfig(**({"batch_size": 32, "augment": False} | options))
    return [(x.numpy(), y.numpy()) for x, y in batches(PIXELS, TARGETS, epochs, config)]


def order(epochs: range, **options: object) -> list[int]:
    return [int(place) for _, targets in stream(epochs, **options) for place in targets.argmax(axis=1)]


def test_normalise_is_the_lectures_step() -> None:
    pixels = np.arange(784, dtype=np.uint16).astype(np.uint8).reshape(1, 28, 28)
    found = normalise(pixels)
    assert (found.shape, found.dtype) == ((1, 28, 28, 1), np.float32)
    np.testing.assert_allclose(found.ravel(), pixels.ravel() / 255.0, rtol=1e-7)


def test_every_epoch_holds_every_digit_once_with_its_own_target() -> None:
    found = stream(range(2))
    assert [len(images) for images, _ in found] == [32, 32, 6] * 2
    assert steps_per_epoch(70, 32) == 3
    for epoch in (found[:3], found[3:]):
        places = np.concatenate([targets.argmax(axis=1) for _, targets in epoch])
        assert sorted(places) == list(range(70))
        images = np.concatenate([images for images, _ in epoch])
        np.testing.assert_array_equal(images, normalise(PIXELS)[places])


def test_the_order_changes_with_the_epoch_and_the_seed() -> None:
    both = order(range(2))
    assert both[:70] != both[70:]
    assert order(range(1), seed=3) != both[:70]


@pytest.mark.parametrize("augment", [True, False])
def test_an_epoch_is_the_same_wherever_the_stream_begins(augment: bool) -> None:
    """What makes a resumed run continue as if it had never been killed."""
    whole, rest = stream(range(3), augment=augment), stream(range(1, 3), augment=augment)
    for (images, targets), (same_images, same_targets) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
