"""Judging a version: the right digits are chosen, the figures are kept, and the pictures are pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from service.engine.model import Model
from service.repository.repository import Repository
from tests.training.files import csv_table, write_idx
from training import evaluate
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError
from training.metrics import measure
from training.split import split


def test_files_and_table(published: Repository, kaggle: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100)
    figures = evaluate.evaluate(published, "digits", 1, kaggle, "auto", tmp_path / "out", console)
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["evaluated"] == "digits 1 (lecture-cnn) on 150 held-out digits of kaggle"
    assert {key: report[key] for key in figures} == figures
    assert figures == published.card("digits", 1)["metrics"]["validation"]
    for name in ("confusion.png", "mistakes.png", "curves.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors(256)) > 20, "an empty picture"
    shown = console.file.getvalue()
    assert f"right {figures['accuracy']:.2%}" in shown
    assert f"{figures['per_digit'][7]['recall']:.2%}" in shown


@pytest.mark.parametrize("width", [40, 55, 60, 80])
def test_no_terminal_breaks_the_figures_below_the_table(width: int, published: Repository, kaggle: Path) -> None:
    console = Console(file=io.StringIO(), width=width)
    digits = loader.load(kaggle).labelled()
    evaluation = evaluate.measure(published, "digits", 1, digits, "labelled", kaggle)
    console.print(evaluate.table(evaluation))
    assert f"calibration off by {evaluation.figures['ece']:.2%}" in console.file.getvalue()
    assert f"log loss {evaluation.figures['log_loss']:.4f}" in console.file.getvalue()


def test_without_a_choice_digits_set_aside_are_taken(
    published: Repository, handwriting: Digits, tmp_path: Path
) -> None:
    folder = write_idx(tmp_path, handwriting.pixels, handwriting.labels, test=297)
    chosen, digits = evaluate.choose(folder, "auto", published.card("digits", 1))
    assert (chosen, len(digits)) == ("test", 297)
    np.testing.assert_array_equal(digits.pixels, handwriting.pixels[-297:])


def test_without_a_choice_the_training_file_gives_what_was_held_out(published: Repository, kaggle: Path) -> None:
    chosen, digits = evaluate.choose(kaggle / "train.csv", "auto", published.card("digits", 1))
    assert chosen == "held-out"
    np.testing.assert_array_equal(digits.pixels, split(loader.load(kaggle), 0.1, 2)[1].pixels)


def test_without_a_choice_anybodys_digits_are_all_taken(
    published: Repository, handwriting: Digits, tmp_path: Path
) -> None:
    csv_table(handwriting.pixels[:37], handwriting.labels[:37]).to_csv(tmp_path / "mine.csv", index=False)
    chosen, digits = evaluate.choose(tmp_path / "mine.csv", "auto", published.card("digits", 1))
    assert (chosen, len(digits)) == ("labelled", 37)
    evaluation = evaluate.measure(published, "digits", 2, digits, chosen, tmp_path / "mine.csv")
    expected = Model.load(published.model_path("digits", 2)).predict(handwriting.pixels[:37])
    assert evaluation.figures == measure(expected, handwriting.labels[:37])


def test_a_part_can_be_asked_for(published: Repository, kaggle: Path) -> None:
    said = published.card("digits", 1)
    assert len(evaluate.choose(kaggle, "all", said)[1]) == 1500
    assert len(evaluate.choose(kaggle, "validation", said)[1]) == 150
    with pytest.raises(DataError, match=r"test.csv: no labels\. .* Use `submit` instead"):
        evaluate.choose(kaggle, "test", said)
