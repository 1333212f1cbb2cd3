"""The options of one training run, each defined once: name, type, default, limits and help text.

From this one class follow the command lines of `train` and `retrain` (options.py), the checks below, config.json in
the run folder and the model's card. To add an option, add a field with `typer.Option`; nothing else has to change.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from training.architectures import ARCHITECTURES
from training.errors import RunError


@dataclass(frozen=True)
class Choices:
    """The names that an option accepts, for the field's `Annotated`."""

    names: Collection[str]


@dataclass(frozen=True)
class TrainOption:
    """A field of TrainConfig that the command line offers."""

    name: str
    kind: type
    default: Any
    info: OptionInfo  # help text and limits, as typer takes them
    choices: Choices | None

    def check(self, value: Any) -> None:
        """Raise RunError for a value outside the limits or the choices."""
        flag = self.name.replace("_", "-")
        if self.choices and value not in self.choices.names:
            raise RunError(f"{flag} must be one of {', '.join(self.choices.names)}.")
        low, high = self.info.min, self.info.max
        if not (low is None or value >= low) or not (high is None or value <= high):  # NaN fails every comparison
            limits = f"at least {low:g}" if high is None else f"between {low} and {high}"
            raise RunError(f"{flag} must be {limits}.")


@dataclass(frozen=True)
class TrainConfig:
    """Every choice that changes the weights: two runs with equal configurations give equal models."""

    architecture: Annotated[
        str,
        Choices(ARCHITECTURES),
        typer.Option(help=" ".join(f"{each.name}: {each.description}" for each in ARCHITECTURES.values())),
    ] = "lecture-cnn"
    data: str = "data/mnist"  # the path that was given, absolute; the command line sets it
    # One epoch shows the network every training digit once: 422 steps for 54,000 digits in batches of 128.
    epochs: Annotated[int, typer.Option(min=1, help="How many times every training digit is seen, at most.")] = 30
    # A batch estimates the gradient over all digits. Four times the digits halve the error of the estimate but cost
    # four times the arithmetic, so many rough steps win over a few exact ones. 128 is small enough for that and large
    # enough to keep the processor's vector units busy.
    batch_size: Annotated[
        int, typer.Option(min=1, help="Digits per step: smaller is noisier and slower, larger needs a larger rate.")
    ] = 128
    # The lecture imports both and uses Adam; train.py says how they differ from plain gradient descent.
    optimizer: Annotated[
        str,
        Choices(("adam", "rmsprop")),
        typer.Option(help="Both fit the step to each weight; Adam keeps a momentum as well."),
    ] = "adam"
    learning_rate: Annotated[float, typer.Option(min=1e-8, max=10, help="Length of the first steps.")] = 0.001
    schedule: Annotated[
        str,
        Choices(("plateau", "cosine")),
        typer.Option(
            help="plateau: the lecture's ReduceLROnPlateau, halve the rate when 3 epochs brought nothing. "
            "cosine: fall smoothly towards 0 over all epochs."
        ),
    ] = "plateau"
    patience: Annotated[
        int, typer.Option(min=1, help="Stop after so many epochs without a better validation loss (plateau only).")
    ] = 10
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Turn, zoom and shift every digit a little, anew each time.")
    ] = True
    validation_share: float = 0.1  # the lecture's test_size; not an option, so that all models are judged alike
    split_seed: int = 2  # the lecture's random_state
    # Decides the first weights, the order of the digits, their distortions and which values dropout sets to 0.
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")] = 1
    feedback: Annotated[
        str, typer.Option(metavar="FILE", help="The service's feedback.sqlite: corrected digits to train on as well.")
    ] = ""
    feedback_weight: Annotated[int, typer.Option(min=1, max=100, help="How often each corrected digit counts.")] = 1
    command: str = ""  # the command line, for the model's card

    def __post_init__(self) -> None:
        """Reject values that would only fail later, after the data has been read. Raises RunError."""
        for option in train_options():
            option.check(getattr(self, option.name))

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Read what `save` wrote. Raises RunError where the file is missing or is not a configuration.

        Options that the file does not know, because an older version wrote it, take their defaults.
        """
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} cannot be read ({error}). Give a folder that `train` made.") from error
        if not isinstance(values, dict) or not {"architecture", "data"} <= values.keys():
            raise RunError(f"{path} is not the configuration of a run. Give a folder that `train` made.")
        known = {field.name: values.get(field.name, field.default) for field in fields(cls)}
        for name, kind in get_type_hints(cls).items():
            if not isinstance(known[name], (int, float) if kind is float else kind):
                raise RunError(f"{path}: {name} is {known[name]!r}; expected {kind.__name__}.")
        return cls(**known)


def train_options(config: type[TrainConfig] = TrainConfig) -> Iterator[TrainOption]:
    """The fields of a configuration class that the command line offers, in their order."""
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        kind, *extras = get_args(hints[field.name]) or [hints[field.name]]
        choices = next((each for each in extras if isinstance(each, Choices)), None)
        for info in extras:
            if isinstance(info, OptionInfo):
                yield TrainOption(field.name, kind, field.default, info, choices)
