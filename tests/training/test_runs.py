"""The files of a run folder, spoilt one after the other: a sentence that names the file, never a traceback."""

import json
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
    with pytest.raises(RunError, match=r"result\.json (cannot be read|does not say how the training went).*Remove it"):
        run.result()
    (run.folder / "result.json").unlink()  # as advised
    resume(run, Console(quiet=True))
    assert run.result()["epochs_run"] == 8


@pytest.mark.parametrize("content", NO_JSON_OBJECT, ids=range(len(NO_JSON_OBJECT)))
def test_a_damaged_note_of_the_data(content: str, run: Run) -> None:
    (run.folder / "data.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"data\.json (cannot be read|does not say which files)"):
        run.digits(Path(run.config.data))


def test_a_note_of_the_data_without_hashes(run: Run) -> None:
    (run.folder / "data.json").write_text('{"train.csv": ["a list"]}')
    with pytest.raises(RunError, match=r"data\.json does not say which files"):
        run.digits(Path(run.config.data))


@pytest.mark.parametrize("content", NO_JSON_OBJECT, ids=range(len(NO_JSON_OBJECT)))
def test_a_damaged_configuration(content: str, run: Run) -> None:
    (run.folder / "config.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"config\.json (cannot be read|is not the configuration of a run)"):
        _ = run.config


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", "x"), ("epochs", 1.5), ("data", 5), ("architecture", []), ("learning_rate", None)]
)
def test_a_configuration_with_a_wrong_value(name: str, value: object, run: Run) -> None:
    file = run.folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(RunError, match=rf"config\.json: {name} is .*; expected (str|int|float)"):
        _ = run.config


def test_a_configuration_of_an_older_version_has_the_defaults(run: Run) -> None:
    (run.folder / "config.json").write_text('{"architecture": "ten-way", "data": "x", "learning_rate": 1, "gone": 3}')
    assert (run.config.architecture, run.config.learning_rate, run.config.epochs) == ("ten-way", 1, 30)
