"""What reaches the network: every digit once an epoch, in an order that seed and epoch decide, a little distorted."""

import numpy as np
import pytest
import tensorflow as tf

from training.augment import SHIFT_PIXELS, distort
from training.batches import batches, normalise, steps_per_epoch
from training.config import TrainConfig
from training.data.digits import Digits

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


def test_distortions_differ_between_images_and_repeat_with_the_seed(handwriting: Digits) -> None:
    same = tf.constant(np.repeat(normalise(handwriting.pixels[:1]), 20, axis=0))
    seed = tf.constant([1, 5], tf.int64)
    found = distort(same, seed).numpy()
    assert found.shape == (20, 28, 28, 1)
    assert len({image.tobytes() for image in found}) == 20
    np.testing.assert_array_equal(found, distort(same, seed).numpy())
    assert (found != distort(same, tf.constant([1, 6], tf.int64)).numpy()).any()


def test_a_digit_is_distorted_anew_in_every_epoch(handwriting: Digits) -> None:
    pixels = np.repeat(handwriting.pixels[:1], 70, axis=0)
    found = [images.numpy() for images, _ in batches(pixels, TARGETS, range(2), TrainConfig(batch_size=70))]
    assert not {image.tobytes() for image in found[0]} & {image.tobytes() for image in found[1]}


def test_outside_the_picture_there_is_paper() -> None:
    """Ink along the lower edge must not come in again at the top."""
    images = np.zeros((50, 28, 28, 1), np.float32)
    images[:, 25:] = 1.0
    found = distort(tf.constant(images), tf.constant([1, 0], tf.int64)).numpy()
    assert found[:, :14].max() == 0
    assert found[:, 25].mean() > 0.5


def test_distortions_are_mild(handwriting: Digits) -> None:
    """The ink stays in the picture, keeps its amount within zoom's reach, and its centre moves by the shift at most."""
    images = normalise(handwriting.pixels[:500])
    found = distort(tf.constant(images), tf.constant([1, 0], tf.int64)).numpy()
    assert found.min() >= 0
    assert found.max() <= 1
    ratio = found.sum(axis=(1, 2, 3)) / images.sum(axis=(1, 2, 3))
    assert 0.8 < ratio.min() < 0.97
    assert 1.03 < ratio.max() < 1.25
    moved = np.abs(centres(found) - centres(images))
    assert 0.5 < moved.max() < SHIFT_PIXELS + 1.0  # and a little from turning ink that is not quite in the middle
    assert abs((centres(found) - centres(images)).mean()) < 0.1


def centres(images: np.ndarray) -> np.ndarray:
    """Centre of mass (n, 2) in pixels."""
    ink = images[..., 0]
    rows, columns = ink.sum(axis=2), ink.sum(axis=1)
    return (
        np.stack([(rows * np.arange(28)).sum(1), (columns * np.arange(28)).sum(1)], axis=1) / ink.sum((1, 2))[:, None]
    )
