"""The order in which digits reach the network: shuffled anew in every epoch, normalised, distorted.

Everything random depends on (seed, epoch, step) alone, so epoch 7 is the same whether or not the run was killed in 6.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augment import distort
from training.config import TrainConfig


def normalise(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The lecture's second step: divide by 255.0 and reshape to (-1, 28, 28, 1), float32 in 0..1."""
    return (pixels.reshape(-1, 28, 28, 1) / np.float32(255.0)).astype(np.float32)


def steps_per_epoch(digits: int, batch_size: int) -> int:
    """How many batches hold all digits; the last one may be smaller."""
    return -(-digits // batch_size)


def batches(
    pixels: NDArray[np.uint8], targets: NDArray[np.float32], epochs: range, config: TrainConfig
) -> tf.data.Dataset:
    """All batches of the given epochs in one stream of (images (b, 28, 28, 1) float32, targets)."""
    images, answers = tf.constant(pixels.reshape(-1, 28, 28, 1)), tf.constant(targets)
    seed = tf.constant(config.seed, tf.int64)
    steps = steps_per_epoch(len(pixels), config.batch_size)

    def batch(number: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch_images = tf.cast(tf.gather(images, index), tf.float32) / 255.0
        if config.augment:
            batch_images = distort(batch_images, tf.stack([seed, number]))
        return batch_images, tf.gather(answers, index)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(pixels)), tf.stack([seed, number]))
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size).enumerate(number * steps)
        return numbered.map(batch, num_parallel_calls=1, deterministic=True)

    # The network is busy most of the time; two batches prepared in advance are enough to keep it so.
    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(epoch).prefetch(2)
