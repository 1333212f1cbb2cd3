"""How good is a published version? Figures, a table and three pictures, through the code that serves it.

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
from training.data.digits import Digits, split
from training.errors import DataError
from training.predict import predict

PARTS = ("auto", "test", "validation", "all")

Card = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """One version's answers on some digits: what the table, the JSON file and the pictures are made of."""

    title: str  # such as "digits 1 on 10,000 test digits of mnist"
    card: Card
    digits: Digits
    probabilities: NDArray[np.float32]  # (n, 10)
    figures: dict[str, Any]  # what metrics.measure returns


def judge(repository: Repository, name: str, version: int, source: Path, part: str = "auto") -> Judged:
    """Let a version read the chosen part of the data. Raises DataError, NoSuchModel or ModelBroken."""
    card = repository.card(name, version)
    chosen, digits = choose(source, part, card)
    if digits.labels is None:
        raise DataError(
            f"{', '.join(digits.files)}: no labels, so there is nothing to compare answers with. Use `submit` instead."
        )
    probabilities = predict(Model.load(repository.model_path(name, version)), digits.pixels)
    title = f"{name} {version} ({card.get('architecture', '?')}) on {len(digits):,} {chosen} digits of {source.name}"
    return Judged(title, card, digits, probabilities, metrics.measure(probabilities, digits.labels))


def choose(source: Path, part: str, card: Card) -> tuple[str, Digits]:
    """(which part, its digits). "auto": test digits where the data set any aside; else what the training of this very
    version held out, if it was trained on these files; else all of them.
    """
    if part == "test" or (part == "auto" and loader.has_labelled_test(source)):
        return "test", loader.load(source, "test")
    digits = loader.load(source)
    trained_on_these = set(card.get("data", {}).get("sha256", {}).values()) == set(digits.files.values())
    if part == "validation" or (part == "auto" and trained_on_these):
        settings = card.get("data", {}).get("split", {})
        return "held-out", split(digits, settings.get("validation_share", 0.1), settings.get("random_state", 2))[1]
    return "labelled", digits


def table(judged: Judged) -> Table:
    """The figures for a terminal. Recall: how many of the 4s were found; precision: how many called a 4 are one."""
    figures = judged.figures
    right, loss, off = f"{figures['accuracy']:.2%}", f"{figures['log_loss']:.4f}", f"{figures['ece']:.2%}"
    caption = f"right {right}\nlog loss {loss}\ncalibration off by {off}"  # lines that no terminal breaks
    shown = Table(title=judged.title, caption=caption, title_justify="left", caption_justify="left")
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
    others = [0 if said == digit else count for said, count in enumerate(counts)]
    return f"{others.index(max(others))} ({max(others)}x)" if max(others) else "-"


def save(judged: Judged, folder: Path) -> list[Path]:
    """Write metrics.json, confusion.png, mistakes.png and, where the card has a history, curves.png."""
    from training import plots

    folder.mkdir(parents=True, exist_ok=True)
    report = {"evaluated": judged.title, "data": judged.digits.files, **judged.figures}
    files = [folder / name for name in ("metrics.json", "confusion.png", "mistakes.png")]
    files[0].write_text(json.dumps(report, indent=2) + "\n")
    right = f"{judged.figures['accuracy']:.2%} right"
    plots.confusion_matrix(np.array(judged.figures["confusion"]), f"{judged.title}\n{right}", files[1])
    plots.worst_mistakes(
        judged.digits.pixels, judged.digits.labels, judged.probabilities, f"Surest mistakes: {judged.title}", files[2]
    )
    training = judged.card.get("training", {})
    if training.get("history"):
        files.append(folder / "curves.png")
        plots.curves(training["history"], training["best_epoch"], files[-1])
    return files


def evaluate(
    repository: Repository, name: str, version: int, source: Path, part: str, folder: Path, console: Console
) -> dict[str, Any]:
    """Judge, print the table, write the files; returns the figures."""
    judged = judge(repository, name, version, source, part)
    console.print(table(judged))
    for file in save(judged, folder):
        console.print(f"wrote {file}", highlight=False, soft_wrap=True)
    return judged.figures
