"""The two models in models/: accurate enough, the better one served, and described in the pages as in their cards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.repository.repository import Repository

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = "\n".join((ROOT / "docs" / page).read_text() for page in ("retrain.md", "lecture.md"))
REPOSITORY = Repository(ROOT / "models")
VERSIONS = REPOSITORY.versions("digits")
FLOOR = 0.992  # of the 10,000 test digits


def card(version: int) -> dict[str, Any]:
    return REPOSITORY.card("digits", version)


def rows(header: str, text: str = PAGES) -> list[list[str]]:
    """The cells below a table's header line in the pages, without bold and code marks."""
    body = text.split(f"\n{header}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip().strip("*`") for cell in line.strip("|").split("|")] for line in body]


def test_both_architectures_are_there() -> None:
    assert {card(version)["architecture"] for version in VERSIONS} == {"lecture-cnn", "ten-way"}


@pytest.mark.parametrize("version", VERSIONS)
def test_it_reads_the_test_digits(version: int) -> None:
    measured = card(version)["metrics"]["test"]
    assert measured["n"] == 10_000
    assert measured["accuracy"] >= FLOOR


def test_the_better_one_on_the_held_out_digits_is_served() -> None:
    held_out = {version: card(version)["metrics"]["validation"]["accuracy"] for version in VERSIONS}
    assert REPOSITORY.current("digits") == max(held_out, key=lambda version: held_out[version])


RESULTS = (
    "| version | architecture | parameters | 6,000 held out | 10,000 test digits | log loss | calibration error "
    "| training, 2 cores |"
)


def result(version: int) -> list[str]:
    """A row of the results, written from the card."""
    shipped = card(version)
    held_out, test = shipped["metrics"]["validation"], shipped["metrics"]["test"]
    assert (held_out["n"], test["n"]) == (6_000, 10_000)
    return [
        f"{version} (served)" if version == REPOSITORY.current("digits") else str(version),
        shipped["architecture"],
        f"{shipped['parameters']:,}",
        f"{held_out['accuracy']:.2%}",
        f"{test['accuracy']:.2%}",
        f"{test['log_loss']:.4f}",
        f"{test['ece']:.2%}",
        f"{shipped['training']['seconds']:.0f} s",
    ]


def test_the_results_in_the_pages_are_the_cards() -> None:
    assert rows(RESULTS) == [result(version) for version in VERSIONS]


def test_the_readmes_results_are_the_cards() -> None:
    header = "| version | architecture | parameters | 6,000 held-out digits | 10,000 test digits |"
    assert rows(header, README) == [result(version)[:5] for version in VERSIONS]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command_that_made_it_is_written(version: int) -> None:
    assert card(version)["training"]["command"] in PAGES.splitlines()


LAYERS = "| layer | options | lecture: shape | params | ours: shape | params |"


def test_our_layers_in_the_pages_are_the_cards() -> None:
    """Options as printed in the lecture, which omits a stride of 2 once; shapes and parameters are computed."""
    (lecture,) = [version for version in VERSIONS if card(version)["architecture"] == "lecture-cnn"]
    *layers, total = rows(LAYERS)
    ours = [(row[0], row[4], row[5]) for row in layers]
    assert ours == [(each["layer"], each["output_shape"], f"{each['params']:,}") for each in card(lecture)["layers"]]
    assert total[5] == f"{card(lecture)['parameters']:,}"


def test_the_lectures_layers_and_ours_are_the_same() -> None:
    assert [row[2:4] for row in rows(LAYERS)] == [row[4:6] for row in rows(LAYERS)]


def test_the_numbers_in_the_text_are_the_cards() -> None:
    parameters = {card(version)["architecture"]: f"{card(version)['parameters']:,}" for version in VERSIONS}
    assert re.search(rf"encoded once, {parameters['ten-way']} parameters", PAGES.replace("\n", " "))
