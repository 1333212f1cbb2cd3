"""The learning rate falls as the options say, and the best epoch's weights win."""

import keras
import numpy as np
import pytest

from training import schedules
from training.config import TrainConfig


def rates(config: TrainConfig, losses: list[float]) -> list[float]:
    """The optimizer's rate in each epoch, were these its validation losses."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="mse")
    schedule = schedules.schedule(config)
    schedule.set_model(model)
    schedule.on_train_begin()
    found = []
    for epoch, loss in enumerate(losses):
        schedule.on_epoch_begin(epoch)
        found.append(float(model.optimizer.learning_rate))
        schedule.on_epoch_end(epoch, {"val_loss": loss})
    return found


def test_plateau_halves_after_three_epochs_without_gain() -> None:
    config = TrainConfig(learning_rate=0.001)
    found = rates(config, [1.0, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4])
    np.testing.assert_allclose(found, [0.001] * 5 + [0.0005] * 2, rtol=1e-6)


def test_plateau_has_a_floor() -> None:
    assert rates(TrainConfig(learning_rate=2e-5), [1.0] * 20)[-1] == pytest.approx(1e-5)


def test_cosine_falls_from_the_rate_to_nearly_nothing() -> None:
    config = TrainConfig(learning_rate=0.002, schedule="cosine", epochs=10)
    found = rates(config, [1.0] * 10)
    expected = [0.001 * (1 + np.cos(np.pi * epoch / 10)) for epoch in range(10)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_cosine_is_not_cut_short() -> None:
    assert schedules.stopping(TrainConfig(schedule="cosine", epochs=60, patience=5)).patience == 60
    assert schedules.stopping(TrainConfig(schedule="plateau", epochs=60, patience=5)).patience == 5
    assert schedules.stopping(TrainConfig()).restore_best_weights
