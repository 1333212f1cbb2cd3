"""Real handwriting without a download (scikit-learn's 1,797 digits of 8x8, enlarged), and small runs trained on it.

The runs are made once a session: most tests look at the same two, a test that changes one makes its own copy.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from service.repository.writer import RepositoryWriter
from tests.training.command_line import Done, Typed
from tests.training.files import write_kaggle
from training import __main__ as command_line
from training.config import TrainConfig
from training.data.digits import LabelledDigits
from training.runs import Run

QUIET = Console(quiet=True)

OTHER_PEOPLES_WARNINGS = [
    # Keras 3.15 turns a TensorFlow 2.21 variable into an array in the way of NumPy 1
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in this project; those of TensorFlow and Keras are let through, in these tests only."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in OTHER_PEOPLES_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


def enlarge(image: np.ndarray) -> np.ndarray:
    """8x8 with values 0..16 -> 20x20 in the middle of 28x28, uint8, as MNIST places its digits."""
    small = Image.fromarray((image * 255 / 16).astype(np.uint8))
    canvas = np.zeros((28, 28), np.uint8)
    canvas[4:24, 4:24] = np.asarray(small.resize((20, 20), Image.Resampling.BICUBIC))
    return canvas


@pytest.fixture(scope="session")
def handwriting() -> LabelledDigits:
    """1,797 labelled digits."""
    bunch = load_digits()
    return LabelledDigits(np.stack([enlarge(image) for image in bunch.images]), bunch.target.astype(np.uint8))


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory: pytest.TempPathFactory, handwriting: LabelledDigits) -> Path:
    """Kaggle's folder: 1,500 labelled digits (1,350 and 150 after the split) and 297 without labels."""
    return write_kaggle(tmp_path_factory.mktemp("data") / "kaggle", handwriting.pixels, handwriting.labels, 297)


@pytest.fixture(scope="session")
def small_config(kaggle: Path) -> Callable[..., TrainConfig]:
    """A configuration for the small data, any option replaced: enough epochs to read most digits, in seconds."""

    def make(**options: object) -> TrainConfig:
        usual = {"data": str(kaggle), "epochs": 8, "batch_size": 32, "learning_rate": 0.003, "command": "a test"}
        return TrainConfig(**(usual | options))

    return make


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, small_config: Callable[..., TrainConfig]) -> dict[str, Run]:
    """A finished run of each architecture."""
    from training.train import train

    root = tmp_path_factory.mktemp("runs")
    return {name: train(small_config(architecture=name), root, QUIET) for name in ("lecture-cnn", "ten-way")}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, runs: dict[str, Run]) -> RepositoryWriter:
    """A repository with both runs: version 1 is lecture-cnn and served, version 2 is ten-way. Look, do not change."""
    from training.export import export

    repository = RepositoryWriter(tmp_path_factory.mktemp("repository") / "models")
    for run in runs.values():
        export(run, repository, "digits", QUIET)
    repository.promote("digits", 1)
    return repository


@pytest.fixture
def repository(tmp_path: Path, published: RepositoryWriter) -> RepositoryWriter:
    """A copy of `published` that a test may change."""
    shutil.copytree(published.root, tmp_path / "models")
    return RepositoryWriter(tmp_path / "models")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """`python -m training <words>` in an empty folder, within this process: TensorFlow need not be loaded each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        code = ended.value.code
        if isinstance(code, str):  # Python prints it on standard error and exits with 1
            print(code, file=sys.stderr)
            code = 1
        return Done(code or 0, *capfd.readouterr())

    return run
