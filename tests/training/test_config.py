"""The options of a run: limits, choices, and the file they are kept in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from training.config import TrainConfig
from training.errors import RunError
from training.runs import Run


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd"},
        {"schedule": "step"},
        {"epochs": 0},
        {"batch_size": 0},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"seed": -1},
        {"seed": 2**32},
        {"feedback_weight": 101},
        {"architecture": "vgg"},
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(RunError, match=next(iter(options)).replace("_", "-")):
        TrainConfig(**options)


def test_a_configuration_survives_its_file(tmp_path: object, small_config: Callable[..., TrainConfig]) -> None:
    config = small_config(seed=7, augment=False)
    config.save(tmp_path / "config.json")
    assert TrainConfig.load(tmp_path / "config.json") == config
    (tmp_path / "config.json").write_text('{"epochs": 3}')
    with pytest.raises(RunError, match="is not the configuration of a run"):
        TrainConfig.load(tmp_path / "config.json")


@pytest.fixture
def run(runs: dict[str, Run], tmp_path: Path) -> Run:
    """A copy to be spoilt."""
    shutil.copytree(runs["ten-way"].folder, tmp_path / "run")
    return Run(tmp_path / "run")


NO_JSON_OBJECT = ["", "{", "[]", "{}", "5", "null", '"text"', "[" * 100_000, "\ud83d"]


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
