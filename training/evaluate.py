"""Measures a published version, through the code that serves it: metrics, a table and three pictures.

python -m training evaluate --data data/mnist
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from service.engine.model import Model
from service.repository.repository import Repository
from training import metrics
from training.data import loader
from training.data.digits import LabelledDigits
from training.predict import predict
from training.split import split

ADVICE = "There is nothing to compare answers with. Use `submit` instead."

Card = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """One version's answers to some digits, from which the table, metrics.json and the pictures are made."""

    title: str  # such as "digits 1 on 10,000 test digits of mnist"
    card: Card
    digits: LabelledDigits
    probabilities: NDArray[np.float32]  # (n, 10)
    figures: dict[str, Any]  # what metrics.measure returns


def measure(
    repository: Repository, name: str, version: int, digits: LabelledDigits, kind: str, source: Path
) -> Evaluation:
    """Let a version read the digits. `kind` and `source` name them in the title. Raises NoSuchModel or ModelBroken."""
    card = repository.card(name, version)
    probabilities = predict(Model.load(repository.model_path(name, version)), digits.pixels)
    title = f"{name} {version} ({card.get('architecture', '?')}) on {len(digits):,} {kind} digits of {source.name}"
    return Evaluation(title, card, digits, probabilities, metrics.measure(probabilities, digits.labels))


def choose(source: Path, part: str, card: Card) -> tuple[str, LabelledDigits]:
    """(kind of digits, digits) for the part that the user asked for. Raises DataError where they have no labels.

    "auto" takes the test digits if the data set has any; else the digits that the training of this version
    held out, if it was trained on these files; else all of them. Digits that a version was trained on would flatter it.
    """
    if part == "test" or (part == "auto" and loader.has_labelled_test(source)):
        return "test", loader.load(source, "test").labelled(ADVICE)
    digits = loader.load(source).labelled(ADVICE)
    trained_on_these = set(card.get("data", {}).get("sha256", {}).values()) == set(digits.files.values())
    if part == "validation" or (part == "auto" and trained_on_these):
        settings = card.get("data", {}).get("split", {})
        return "held-out", split(digits, settings.get("validation_share", 0.1), settings.get("random_state", 2))[1]
    return "labelled", digits


def table(evaluation: Evaluation) -> Table:
    """The metrics for a terminal. Recall: the share of 4s that were found; precision: the share of "4" that are 4s."""
    figures = evaluation.figures
    accuracy, loss, ece = f"{figures['accuracy']:.2%}", f"{figures['log_loss']:.4f}", f"{figures['ece']:.2%}"
    caption = (
        f"right {accuracy}\nlog loss {loss}\ncalibration off by {ece}"  # short lines, so that no terminal breaks them
    )
    shown = Table(title=evaluation.title, caption=caption, title_justify="left", caption_justify="left")
    for heading in ("digit", "n", "recall", "precision", "most often taken for"):
        shown.add_column(heading, justify="right")
    for row in figures["per_digit"]:
        shown.add_row(
            str(row["digit"]),
            f"{row['n']:,}",
            _percent(row["recall"]),
            _percent(row["precision"]),
            _taken_for(figures["confusion"][row["digit"]], row["digit"]),
        )
    return shown


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _taken_for(counts: list[int], digit: int) -> str:
    others = [0 if predicted == digit else count for predicted, count in enumerate(counts)]
    return f"{others.index(max(others))} ({max(others)}x)" if max(others) else "-"


def save(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write metrics.json, confusion.png, mistakes.png and, where the card has a history, curves.png."""
    from training import plots

    folder.mkdir(parents=True, exist_ok=True)
    report = {"evaluated": evaluation.title, "data": evaluation.digits.files, **evaluation.figures}
    files = [folder / name for name in ("metrics.json", "confusion.png", "mistakes.png")]
    files[0].write_text(json.dumps(report, indent=2) + "\n")
    right = f"{evaluation.figures['accuracy']:.2%} right"
    plots.confusion_matrix(np.array(evaluation.figures["confusion"]), f"{evaluation.title}\n{right}", files[1])
    plots.worst_mistakes(
        evaluation.digits.pixels,
        evaluation.digits.labels,
        evaluation.probabilities,
        f"Surest mistakes: {evaluation.title}",
        files[2],
    )
    training = evaluation.card.get("training", {})
    if training.get("history"):
        files.append(folder / "curves.png")
        plots.curves(training["history"], training["best_epoch"], files[-1])
    return files


def evaluate(
    repository: Repository, name: str, version: int, source: Path, part: str, folder: Path, console: Console
) -> dict[str, Any]:
    """Measure a version on the chosen part of the data, print the table, write the files; returns the figures."""
    kind, digits = choose(source, part, repository.card(name, version))
    evaluation = measure(repository, name, version, digits, kind, source)
    console.print(table(evaluation))
    for file in save(evaluation, folder):
        console.print(f"wrote {file}", highlight=False, soft_wrap=True)
    return evaluation.figures
