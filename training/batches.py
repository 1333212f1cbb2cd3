"""The batches of training digits: shuffled again in every epoch, normalised and distorted.

All random numbers depend on (seed, epoch, step) alone, so epoch 7 is the same whether or not the run was killed in 6.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augment import distort
from training.config import TrainConfig


def normalise(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The lecture's second step: divide by 255.0 and reshape, (n, 28, 28) uint8 -> (n, 28, 28, 1) float32 in 0..1."""
    # Why divide: the first weights are drawn for inputs of about 1 (train.py). Pixels up to 255 would make the sums of
    # the first layer 255 times as large, the softmax nearly 0 or 1 from the start, and its gradients nearly 0.
    # Why the last axis: Conv2D expects (height, width, channels). A grey image has one channel, a colour photo three.
    return (pixels.reshape(-1, 28, 28, 1) / np.float32(255.0)).astype(np.float32)


def steps_per_epoch(digits: int, batch_size: int) -> int:
    """The number of batches that hold all digits; the last one may be smaller. 54,000 in batches of 128: 422."""
    return -(-digits // batch_size)


def batches(
    pixels: NDArray[np.uint8], targets: NDArray[np.float32], epochs: range, config: TrainConfig
) -> tf.data.Dataset:
    """All batches of the given epochs as one stream of (images (b, 28, 28, 1) float32, targets (b, ...) float32)."""
    # The digits stay uint8 in memory, a quarter of float32: 42 MB in place of 169 MB for 54,000. Each batch is
    # converted when it is needed.
    images, answers = tf.constant(pixels.reshape(-1, 28, 28, 1)), tf.constant(targets)
    seed = tf.constant(config.seed, tf.int64)
    steps = steps_per_epoch(len(pixels), config.batch_size)

    def batch(number: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch_images = tf.cast(tf.gather(images, index), tf.float32) / 255.0
        if config.augment:
            batch_images = distort(batch_images, tf.stack([seed, number]))
        return batch_images, tf.gather(answers, index)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # A new order in each epoch: a fixed one would always pair the same digits in a batch, and their common errors
        # would push the weights the same way again and again.
        order = tf.random.experimental.stateless_shuffle(tf.range(len(pixels)), tf.stack([seed, number]))
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size).enumerate(number * steps)
        return numbered.map(batch, num_parallel_calls=1, deterministic=True)

    # prefetch(2): while the network works on one batch, the next two are prepared, so that it need not wait for them.
    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(epoch).prefetch(2)
