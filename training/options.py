"""Command-line options that several commands share, each with its help text.

The options of a training run are fields of TrainConfig (config.py); `of_training` gives them to a command.
"""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from training.config import TrainConfig, TrainOption, train_options

DEFAULT_DATA = Path("data/mnist")  # `data` fetches MNIST into it, and the other commands look there first

Data = Annotated[
    Path | None,
    typer.Option(
        help="Kaggle's folder (train.csv, test.csv) or a .csv file; MNIST's IDX files (plain or .gz), folder or one "
        f"file; or mnist.npz. Without it: {DEFAULT_DATA}, fetched if it is not there.",
        show_default=False,
    ),
]
Models = Annotated[Path, typer.Option(help="The model repository.")]
Name = Annotated[str, typer.Option(help="The model's name in the repository.")]
Version = Annotated[
    int | None, typer.Option(min=1, help="Which version; without it, the one that is served.", show_default=False)
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Continue this killed run. It keeps the options it was started with; only --data may be given too, if "
        "the same files have moved.",
        show_default=False,
    ),
]
Runs = Annotated[Path, typer.Option(help="Where the run folder is made.")]
Tolerance = Annotated[
    float,
    typer.Option(min=0, max=100, help="Percentage points the new version may be worse, in addition to --chance."),
]
Chance = Annotated[
    float,
    typer.Option(
        min=0,
        max=100,
        help="Largest sampling error that is allowed in addition, in percentage points; 0: --tolerance only.",
    ),
]
Force = Annotated[str, typer.Option(metavar="REASON", help="Promote even if worse, and say why.", show_default=False)]
Split = Annotated[
    Literal["auto", "test", "validation", "all"],
    typer.Option(
        help="test: digits the data set sets aside. validation: the share held out of training. all: every labelled "
        "digit. auto: test if there are any, else validation if this version was trained on these files, else all."
    ),
]


def of_training(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every training option, behind its --data; it reads their values with `config`.

    typer makes options of the parameters of a function, and a decorator can state these: so a new field of TrainConfig
    appears in `train --help` and in `retrain --help` without another edit.
    """
    own = inspect.signature(command).parameters

    @wraps(command)
    def with_training_options(**values: Any) -> None:
        command(**{name: values[name] for name in own})

    shown = []
    for parameter in own.values():
        shown.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        if parameter.name == "data":
            shown += [_parameter(option) for option in train_options(TrainConfig)]
    vars(with_training_options)["__signature__"] = inspect.Signature(shown)
    return with_training_options


def _parameter(option: TrainOption) -> inspect.Parameter:
    """A training option as typer reads it; for a Literal it lists the choices and rejects other names."""
    kind: Any = Literal[tuple(option.choices.names)] if option.choices else option.kind
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=Annotated[kind, option.info]
    )


def config(context: typer.Context, data: Path) -> TrainConfig:
    """The training options that the user gave, as one configuration, with the command line.

    Paths become absolute, so that the run can be resumed and exported from another working directory.
    """
    values = {option.name: context.params[option.name] for option in train_options(TrainConfig)}
    feedback = values["feedback"]
    values["feedback"] = str(Path(feedback).absolute()) if feedback else ""
    return TrainConfig(data=str(data.absolute()), command=typed(), **values)


def resume_alone(context: typer.Context) -> None:
    """Reject other options together with --resume, except --data: a resumed run keeps its own. Raises BadParameter.

    --data may be given because the files may have moved since the run began.
    """
    given = {name for name in context.params if _typed_by_user(context, name)} - {"resume", "data"}
    if context.params["resume"] and given:
        others = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"a resumed run keeps the options it was started with; leave out {others}.")


def _typed_by_user(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def typed() -> str:
    """The command line, with absolute paths cut to their last part: the card is public, a home directory is not."""
    return " ".join(["python -m training", *(_last_part(word) for word in sys.argv[1:])])


def _last_part(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    shown = Path(value).name if Path(value).is_absolute() else value
    return f"{option}{equals}" + (f'"{shown}"' if " " in shown else shown)
