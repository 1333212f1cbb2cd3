"""What is published describes itself fully, and what is not the trained model is not published."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console

from service.engine.model import Model
from service.repository.writer import RepositoryWriter
from training import graph, heads
from training.data import loader
from training.errors import DataError, ExportError, RunError
from training.export import export, load_keras
from training.parity import keras_probabilities
from training.runs import Run
from training.split import split

QUIET = Console(quiet=True)


@pytest.fixture(params=[1, 2], ids=["lecture-cnn", "ten-way"])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


def test_the_served_file_answers_as_keras_does(
    version: int, published: RepositoryWriter, runs: dict[str, Run], kaggle: Path
) -> None:
    held_out = split(loader.load(kaggle), 0.1, 2)[1]
    architecture = ("lecture-cnn", "ten-way")[version - 1]
    head = {"lecture-cnn": heads.TWICE, "ten-way": heads.ONE_HOT}[architecture]
    expected = keras_probabilities(load_keras(runs[architecture]), head, held_out.pixels)
    found = Model.load(published.model_path("digits", version)).predict(held_out.pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_graph_that_is_not_the_model_is_not_published(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folding step is made to forget the division by 255."""
    original = graph.fold

    def broken(exported: onnx.ModelProto) -> None:
        original(exported)
        name = next(node.input[1] for node in exported.graph.node if node.op_type == "Conv")
        weights = next(each for each in exported.graph.initializer if each.name == name)
        weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(255), name))

    monkeypatch.setattr(graph, "fold", broken)
    repository = RepositoryWriter(tmp_path / "models")
    with pytest.raises(ExportError, match="Nothing was published"):
        export(runs["ten-way"], repository, "digits", QUIET)
    assert repository.versions("digits") == []
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.fixture
def run(runs: dict[str, Run], tmp_path: Path) -> Run:
    """A copy to be spoilt."""
    shutil.copytree(runs["ten-way"].folder, tmp_path / runs["ten-way"].folder.name)
    return Run(tmp_path / runs["ten-way"].folder.name)


def test_an_unfinished_run_is_refused_with_the_resume_command(run: Run, tmp_path: Path) -> None:
    (run.folder / "result.json").unlink()
    with pytest.raises(RunError, match=r"has not finished. Continue it with `python -m training train --resume"):
        export(run, RepositoryWriter(tmp_path / "models"), "digits", QUIET)


def test_a_damaged_model_is_refused(run: Run, tmp_path: Path) -> None:
    run.model.write_bytes(run.model.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"model.keras cannot be read .*Train again"):
        export(run, RepositoryWriter(tmp_path / "models"), "digits", QUIET)


def test_moved_data_are_found_and_other_data_refused(run: Run, kaggle: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(kaggle, tmp_path / "moved")
    repository = RepositoryWriter(tmp_path / "models")
    assert export(run, repository, "digits", QUIET, moved) == 1
    lines = (moved / "train.csv").read_text().splitlines(keepends=True)
    (moved / "train.csv").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match="does not hold the digits that"):
        export(run, repository, "digits", QUIET, moved)
    assert repository.versions("digits") == [1]
