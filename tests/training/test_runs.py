"""The files of a run folder, spoilt one after the other: a sentence that names the file, never a traceback."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from training.errors import RunError
from training.runs import Run
from training.train import resume


@pytest.fixture
def run(runs: dict[str, Run], tmp_path: Path) -> Run:
    """A copy to be spoilt."""
    shutil.copytree(runs["ten-way"].folder, tmp_path / "run")
    return Run(tmp_path / "run")


NO_JSON_OBJECT = ["", "{", "[]", "{}", "5", "null", '"text"', "[" * 100_000, "\ud83d"]


@pytest.mark.parametrize("content", NO_JSON_OBJECT[1:4], ids=range(3))
def test_a_damaged_result(content: str, run: Run) -> None:
    (run.folder / "result.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"result\.json (cannot be read|does not hold the result).*Remove it"):
        run.result()
    (run.folder / "result.json").unlink()  # as advised
    resume(run, Console(quiet=True))
    assert run.result()["epochs_run"] == 8


@pytest.mark.parametrize("content", NO_JSON_OBJECT, ids=range(len(NO_JSON_OBJECT)))
def test_a_damaged_note_of_the_data(content: str, run: Run) -> None:
    (run.folder / "data.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"data\.json (cannot be read|does not name the files)"):
        run.split()


def test_a_note_of_the_data_without_hashes(run: Run) -> None:
    (run.folder / "data.json").write_text('{"train.csv": ["a list"]}')
    with pytest.raises(RunError, match=r"data\.json does not name the files"):
        run.split()
