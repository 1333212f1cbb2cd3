"""One training run, described by one flat, frozen object: what the run folder keeps and the card repeats.

Knows the names and the defaults of the options; does not know what they do.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.errors import RunError

OPTIMIZERS = ("adam", "rmsprop")  # the lecture imports both and uses the first
SCHEDULES = ("plateau", "cosine")


@dataclass(frozen=True)
class TrainConfig:
    """Every choice that changes the weights. Two runs with equal configurations give equal models."""

    architecture: str = "lecture-cnn"
    data: str = "data/mnist"
    epochs: int = 30  # how many times every training digit is seen
    batch_size: int = 128  # digits per step of the optimizer
    optimizer: str = "adam"
    learning_rate: float = 0.001  # Keras's default for Adam and RMSprop
    schedule: str = "plateau"  # how the learning rate falls; see schedules.py
    patience: int = 10  # epochs without a better validation loss before training stops
    augment: bool = True
    validation_share: float = 0.1  # the lecture's test_size
    split_seed: int = 2  # the lecture's random_state
    seed: int = 1  # weights, order of the digits, distortions, dropout
    feedback: str = ""  # the service's file of corrected digits; none if empty
    feedback_weight: int = 1  # how often each of them is seen in an epoch
    command: str = ""  # what was typed, for the card

    def __post_init__(self) -> None:
        """Refuse what could only fail later, after the data has been read."""
        checks = {
            f"optimizer must be one of {', '.join(OPTIMIZERS)}": self.optimizer in OPTIMIZERS,
            f"schedule must be one of {', '.join(SCHEDULES)}": self.schedule in SCHEDULES,
            "feedback-weight must be between 1 and 100": 1 <= self.feedback_weight <= 100,
            "epochs must be at least 1": self.epochs >= 1,
            "batch-size must be at least 1": self.batch_size >= 1,
            "patience must be at least 1": self.patience >= 1,
            "learning-rate must be above 0": 0 < self.learning_rate < float("inf"),
            "seed must be between 0 and 4294967295": 0 <= self.seed < 2**32,
        }
        for sentence, holds in checks.items():
            if not holds:
                raise RunError(f"{sentence}.")

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Read what `save` wrote. Raises RunError where the file is missing or is not a configuration."""
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} cannot be read ({error}). Give a folder that `train` made.") from error
        if not isinstance(values, dict) or not {"architecture", "data"} <= values.keys():
            raise RunError(f"{path} is not the configuration of a run. Give a folder that `train` made.")
        known = {field.name: values.get(field.name, field.default) for field in fields(cls)}
        for field in fields(cls):
            if not isinstance(known[field.name], (int, float) if field.type is float else field.type):
                raise RunError(f"{path}: {field.name} is {known[field.name]!r}; expected {field.type.__name__}.")
        return cls(**known)
