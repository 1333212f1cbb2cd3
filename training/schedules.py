"""How the learning rate falls during training: the lecture's ReduceLROnPlateau, or a cosine.

Long steps find the right region of the weights quickly but jump over its lowest point; short steps reach it.
"""

import math

import keras

from training.config import TrainConfig

SMALLEST_RATE = 1e-5  # a hundredth of the default first rate


def schedule(config: TrainConfig) -> keras.callbacks.Callback:
    """The callback that sets the optimizer's learning rate."""
    if config.schedule == "plateau":
        # Halves the rate whenever three epochs in a row brought no better validation loss. Three, because the loss of
        # single epochs goes up and down by chance. It needs no plan of how long training will take.
        return keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3, min_lr=SMALLEST_RATE)
    return keras.callbacks.LearningRateScheduler(lambda epoch, _: cosine(epoch, config))


def cosine(epoch: int, config: TrainConfig) -> float:
    """The learning rate of an epoch (0-based): half a cosine from the full rate in epoch 0 to 0 after the last."""
    # Slow at both ends: the rate stays high while the network still learns much, and low while it settles. It has to
    # know the last epoch. With 60 epochs and a first rate of 0.002 it made both shipped models.
    return max(SMALLEST_RATE, config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs)))


def stopping(config: TrainConfig) -> keras.callbacks.EarlyStopping:
    """Stops after `patience` epochs without a smaller validation loss, and restores the weights of the best epoch.

    With a cosine, training runs to its last epoch, because the rate is planned until then; the best weights are
    restored all the same.
    """
    # The training loss falls on while the network learns single digits by heart; the validation loss rises then.
    # It is judged by the loss and not by the accuracy: one of 6,000 held-out digits moves the accuracy by 0.017 points,
    # and the few digits that are right one epoch and wrong the next are mostly luck. The loss weighs every digit.
    patience = config.epochs if config.schedule == "cosine" else config.patience
    return keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
