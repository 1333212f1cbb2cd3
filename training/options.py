"""The options that several commands share, each with the sentence that `--help` shows. Defaults live in config.py."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.architectures import ARCHITECTURES
from training.config import OPTIMIZERS, SCHEDULES, TrainConfig

DEFAULT_DATA = Path("data/mnist")  # where `data` puts MNIST, and where the others look first

# typing accepts a Literal made of names known only when the registry has been filled; a wrong name is a usage error.
ARCHITECTURE, OPTIMIZER, SCHEDULE = Literal[tuple(ARCHITECTURES)], Literal[OPTIMIZERS], Literal[SCHEDULES]

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
        help="Continue this killed run. It keeps the options it was started with; only --data may stand beside, should "
        "the same files lie elsewhere now.",
        show_default=False,
    ),
]
Runs = Annotated[Path, typer.Option(help="Where the run folder is made.")]
Architecture = Annotated[
    ARCHITECTURE,
    typer.Option(help=" ".join(f"{each.name}: {each.description}" for each in ARCHITECTURES.values())),
]
Epochs = Annotated[int, typer.Option(min=1, help="How many times every training digit is seen, at most.")]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Digits per step: smaller is noisier and slower, larger needs a larger rate.")
]
Optimizer = Annotated[OPTIMIZER, typer.Option(help="Both fit the step to each weight; Adam keeps a momentum as well.")]
LearningRate = Annotated[float, typer.Option(min=1e-8, max=10, help="Length of the first steps.")]
Schedule = Annotated[
    SCHEDULE,
    typer.Option(
        help="plateau: the lecture's ReduceLROnPlateau, halve the rate when 3 epochs brought nothing. "
        "cosine: fall smoothly towards 0 over all epochs."
    ),
]
Patience = Annotated[
    int, typer.Option(min=1, help="Stop after so many epochs without a better validation loss (plateau only).")
]
Augment = Annotated[
    bool, typer.Option("--augment/--no-augment", help="Turn, zoom and shift every digit a little, anew each time.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")]
Feedback = Annotated[
    str, typer.Option(metavar="FILE", help="The service's feedback.sqlite: corrected digits to learn from as well.")
]
FeedbackWeight = Annotated[int, typer.Option(min=1, max=100, help="How often each corrected digit counts.")]
Tolerance = Annotated[
    float,
    typer.Option(min=0, max=100, help="Percentage points the new version may be worse, beside what --chance allows."),
]
Chance = Annotated[
    float,
    typer.Option(
        min=0,
        max=100,
        help="At most so many points more are put down to chance; 0 makes --tolerance the whole allowance.",
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


def config(context: typer.Context, data: Path) -> TrainConfig:
    """The options of `train` and `retrain` as one configuration, with the command that was typed.

    Paths are kept whole, so that the run can be resumed and exported from another folder.
    """
    names = set(TrainConfig.__dataclass_fields__) & set(context.params) - {"data", "feedback"}
    feedback = context.params["feedback"]
    return TrainConfig(
        data=str(data.absolute()),
        feedback=str(Path(feedback).absolute()) if feedback else "",
        command=typed(),
        **{name: context.params[name] for name in names},
    )


def resume_alone(context: typer.Context) -> None:
    """A resumed run keeps its options: refuse others beside --resume rather than ignore them. Raises BadParameter.

    Only where its digits lie now may be said, for they may have moved.
    """
    given = {name for name in context.params if _typed_by_user(context, name)} - {"resume", "data"}
    if context.params["resume"] and given:
        others = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"a resumed run keeps the options it was started with; leave out {others}.")


def _typed_by_user(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def typed() -> str:
    """The command line, absolute paths cut to their last part: a card is public, a home directory is not."""
    return " ".join(["python -m training", *(_last_part(word) for word in sys.argv[1:])])


def _last_part(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    shown = Path(value).name if Path(value).is_absolute() else value
    return f"{option}{equals}" + (f'"{shown}"' if " " in shown else shown)
