"""Every training digit is distorted a little, differently in every epoch, repeatably for one seed."""

import numpy as np
import tensorflow as tf

from training.augment import SHIFT_PIXELS, distort
from training.batches import batches, normalise
from training.config import TrainConfig
from training.data.digits import Digits

TARGETS = np.eye(70, dtype=np.float32)


def centres(images: np.ndarray) -> np.ndarray:
    """Centre of mass (n, 2) in pixels."""
    ink = images[..., 0]
    rows, columns = ink.sum(axis=2), ink.sum(axis=1)
    return (
        np.stack([(rows * np.arange(28)).sum(1), (columns * np.arange(28)).sum(1)], axis=1) / ink.sum((1, 2))[:, None]
    )


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
