"""The command line: each command reads its options and calls one function of this package.

    python -m training --help            (also installed as `digits-train`)

Slow imports (TensorFlow, pandas) happen inside the commands, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

from training.errors import TrainingError, missing

try:
    import typer
    from rich.console import Console

    from training import options, repository_commands
    from training.comparison import Allowance
    from training.promotion_policy import PromotionPolicy
    from training.tensorflow_import import load_tensorflow
except ModuleNotFoundError as error:  # `make serve` installs the service alone
    sys.exit(f"error: {missing(error)}")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From labelled digits to a served model: data, train, export, evaluate, promote; or retrain for all of it.",
)
console = Console(markup=False)  # rich would read the brackets in a folder name such as a[/b] as markup
ALLOWANCE = Allowance()
MODELS, RUNS, NAME = Path("models"), Path("runs"), "digits"
repository_commands.add_commands(app, console, MODELS, NAME)


def _source(data: Path | None) -> Path:
    """The given data, or the default folder, into which MNIST is fetched first if it is not there."""
    if data is not None:
        return data
    from training.data import download, idx

    if idx.image_file(options.DEFAULT_DATA, "train") is None:
        download.fetch(options.DEFAULT_DATA, console)
    return options.DEFAULT_DATA


@app.command()
def data(
    data: options.Data = None,
    to: Annotated[Path, typer.Option(help="The folder that MNIST is fetched into.")] = options.DEFAULT_DATA,
) -> None:
    """Fetch MNIST and check it; or check and count your own digits with --data."""
    from training.data import download, inspection

    if data is None:
        download.fetch(to, console)
    inspection.show(data or to, console)


@app.command()
@options.of_training
def train(
    context: typer.Context,
    data: options.Data = None,
    runs: options.Runs = RUNS,
    resume: options.Resume = None,
) -> None:
    """Train a network: the lecture's steps, into a run folder that survives a kill."""
    options.resume_alone(context)
    load_tensorflow()
    from training import train as training
    from training.runs import Run

    if resume:
        training.resume(Run.open(resume), console, data)
    else:
        training.train(options.config(context, _source(data)), runs, console)


@app.command()
def export(
    run: Annotated[Path, typer.Option(help="A finished run folder.")],
    data: Annotated[
        Path | None, typer.Option(help="The digits the run was trained on, should they have moved.", show_default=False)
    ] = None,
    models: options.Models = MODELS,
    name: options.Name = NAME,
) -> None:
    """Turn a run into an ONNX file, compare it with Keras, publish it as the next version. Promotes nothing."""
    load_tensorflow()
    from service.repository.writer import RepositoryWriter
    from training import export as exporting
    from training.runs import Run

    version = exporting.export(Run.open(run), RepositoryWriter(models), name, console, data)
    console.print(f"Serve it with `python -m training promote {version}`.", highlight=False)


@app.command()
def evaluate(
    data: options.Data = None,
    split: options.Split = "auto",
    models: options.Models = MODELS,
    name: options.Name = NAME,
    version: options.Version = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for metrics.json and the pictures.", show_default="runs/evaluation/<name>-<version>"),
    ] = None,
) -> None:
    """Measure a version: accuracy, log loss, calibration, each digit, confusion matrix, worst mistakes."""
    from service.repository.repository import Repository
    from training import evaluate as evaluating

    repository = Repository(models)
    chosen = version or repository.current(name)
    folder = out or RUNS / "evaluation" / f"{name}-{chosen}"
    evaluating.evaluate(repository, name, chosen, _source(data), split, folder, console)


@app.command()
def submit(
    data: Annotated[Path, typer.Option(help="Kaggle's folder, or its test.csv.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("submission.csv"),
    models: options.Models = MODELS,
    name: options.Name = NAME,
    version: options.Version = None,
) -> None:
    """Write Kaggle's submission file (ImageId,Label) for the digits of test.csv."""
    from service.engine.model import Model
    from service.repository.repository import Repository
    from training import submit as submitting

    repository = Repository(models)
    chosen = version or repository.current(name)
    rows = submitting.submit(Model.load(repository.model_path(name, chosen)), data, out)
    console.print(f"wrote {out}: {rows:,} digits read by {name} {chosen}", highlight=False, soft_wrap=True)


@app.command()
@options.of_training
def retrain(
    context: typer.Context,
    data: options.Data = None,
    runs: options.Runs = RUNS,
    models: options.Models = MODELS,
    name: options.Name = NAME,
    tolerance: options.Tolerance = ALLOWANCE.tolerance_points,
    chance: options.Chance = ALLOWANCE.most_chance_points,
    force: options.Force = "",
    resume: options.Resume = None,
) -> None:
    """Train, export, evaluate, and promote only if not worse than the served version on the same held-out digits."""
    options.resume_alone(context)
    load_tensorflow()
    from training import retrain as retraining
    from training.runs import Run

    if resume:
        retraining.resume(Run.open(resume), console, data)
        return
    policy = PromotionPolicy(str(models.absolute()), name, Allowance(tolerance, chance), force)
    retraining.retrain(options.config(context, _source(data)), runs, policy, console)


def main() -> None:
    """Run a command. An error that the user can correct is one sentence on standard error, with exit code 1."""
    from service.errors import DigitsError

    try:
        app()
    except (TrainingError, DigitsError) as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {missing(error)}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}.")


if __name__ == "__main__":
    main()
