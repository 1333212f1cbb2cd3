"""The commands as one types them: what they print, how they exit, and never a stack trace for what a user can mend."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.repository.writer import RepositoryWriter
from tests.training.command_line import ROOT, Typed, process
from tests.training.files import write_idx
from training.architectures import ARCHITECTURES
from training.data.digits import Digits
from training.runs import Run

COMMANDS = ["data", "train", "evaluate", "export", "submit", "retrain", "list", "promote", "rollback"]


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    """TensorFlow takes five seconds to load, pandas half a second: --help waits for neither."""
    program = (
        "import sys; from training.__main__ import app\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'onnxruntime'}\n"
        "try: app(['--help'])\n"
        "except SystemExit: print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, typed: Typed) -> None:
    done = typed(command, "--help")
    assert done.code == 0
    assert "Usage:" in done.out


@pytest.mark.parametrize("command", ["train", "retrain"])
def test_help_says_what_the_architectures_are(command: str, typed: Typed) -> None:
    shown = " ".join(typed(command, "--help").out.replace("│", " ").split())
    for name, architecture in ARCHITECTURES.items():
        assert f"{name}: {architecture.description}" in shown


REFUSED = [
    (["train", "--data", "nowhere"], 1, "nowhere does not exist"),
    (["train", "--architecture", "vgg"], 2, "'vgg' is not one of 'lecture-cnn', 'ten-way'"),
    (["train", "--epochs", "0"], 2, "--epochs"),
    (["train", "--resume", "nowhere"], 1, "is not a run"),
    (["train", "--resume", "x", "--epochs", "5"], 2, "leave out --epochs"),
    (["export", "--run", "nowhere"], 1, "is not a run"),
    (["export"], 2, "Missing option '--run'"),
    (["evaluate"], 1, "There is no model named digits"),
    (["evaluate", "--split", "most"], 2, "'most' is not one of"),
    (["submit", "--data", "nowhere"], 1, "There is no model named digits"),
    (["list"], 1, "holds no version of digits"),
    (["promote", "7"], 1, "There is no version 7 of digits"),
    (["rollback"], 1, "There is no model named digits"),
    (["data", "--data", "nowhere"], 1, "nowhere does not exist"),
    (["serve"], 2, "No such command 'serve'"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_refused_with_a_sentence(words: list[str], code: int, sentence: str, typed: Typed, tmp_path: Path) -> None:
    done = typed(*words)
    assert done.code == code
    assert sentence in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


def test_data_counts_and_checks(typed: Typed, tmp_path: Path, handwriting: Digits) -> None:
    folder = write_idx(tmp_path / "mine", handwriting.pixels, handwriting.labels, test=297)
    done = typed("data", "--data", folder)
    assert done.code == 0
    assert "1,500" in done.out
    assert "297" in done.out
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"")
    done = typed("data", "--data", folder)
    assert (done.code, done.out) == (1, "")
    assert "t10k-labels-idx1-ubyte is empty" in done.err


WITHOUT = """
import sys
sys.modules[{package!r}] = None  # as if it were not installed
sys.argv = ["training", *{words!r}]
from training.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("package", "words"),
    [("typer", ["--help"]), ("rich", ["list"]), ("tensorflow", ["train"]), ("pandas", ["submit", "--data", "kaggle"])],
)
def test_what_is_not_installed_is_one_sentence(
    package: str, words: list[str], tmp_path: Path, published: RepositoryWriter, kaggle: Path
) -> None:
    """`make serve` installs the service alone, and someone may try to train all the same."""
    (tmp_path / "models").symlink_to(published.root)
    (tmp_path / "kaggle").symlink_to(kaggle)
    program = WITHOUT.format(package=package, words=words)
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=variables)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: The trainer is not installed here (no {package}): run `make train`, or pip install -e '.[training]'.\n"
    )


def test_the_hashes_of_the_data_can_be_copied(typed: Typed, tmp_path: Path, kaggle: Path) -> None:
    lines = typed("data", "--data", kaggle).out.splitlines()
    for name in ("train.csv", "test.csv"):
        assert f"{hashlib.sha256((kaggle / name).read_bytes()).hexdigest()}  {name}" in lines
    assert lines[0] == f"{kaggle}: every file checked"


BRACKETS = ["a[/b]", "[red]digits", "$a_$"]  # and the last would be a formula in a picture


@pytest.mark.parametrize("name", BRACKETS)
def test_folders_may_be_named_like_markup(
    name: str, typed: Typed, tmp_path: Path, kaggle: Path, published: RepositoryWriter
) -> None:
    """Square brackets are rich's way of writing colours; in a path they are part of the path."""
    folder = shutil.copytree(kaggle, tmp_path / name)
    shutil.copytree(published.root, folder / "models")
    models = ["--models", folder / "models"]
    done = typed("data", "--data", folder)
    assert (done.code, done.out.splitlines()[0]) == (0, f"{folder}: every file checked")
    done = typed("evaluate", "--data", folder, *models, "--out", folder / "out")
    assert (done.code, f"wrote {folder}/out/metrics.json" in done.out) == (0, True)
    assert f"held-out digits of {name.rpartition('/')[2]}" in " ".join(done.out.split())
    done = typed("submit", "--data", folder, *models, "--out", folder / "x.csv")
    assert f"wrote {folder}/x.csv: 297 digits" in done.out
    done = typed("retrain", "--data", folder, *models, "--runs", folder, "--epochs", 1, "--force", name)
    assert done.code == 0, done.err
    assert f"forced: {name}" in done.out


def test_the_whole_way(typed: Typed, tmp_path: Path, kaggle: Path) -> None:
    """train, export, promote, evaluate, submit, list: each reads what the one before wrote."""
    options = "--architecture ten-way --epochs 1 --batch-size 32"
    done = process("train", "--data", kaggle, *options.split(), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "TensorFlow's start-up messages are hidden"
    run = Run(next((tmp_path / "runs").iterdir()))
    assert run.config.command == f"python -m training train --data kaggle {options}"
    assert "parity with Keras: largest difference" in typed("export", "--run", run.folder).out
    assert typed("evaluate", "--data", kaggle).code == 1  # nothing is promoted yet
    assert "digits now serves version 1." in typed("promote", 1).out
    assert typed("evaluate", "--data", kaggle).code == 0
    report = json.loads((tmp_path / "runs" / "evaluation" / "digits-1" / "metrics.json").read_text())
    assert report["n"] == 150
    assert "wrote submission.csv: 297 digits" in typed("submit", "--data", kaggle).out
    assert "wrote new/x.csv: 297 digits" in typed("submit", "--data", kaggle, "--out", "new/x.csv").out
    done = typed("submit", "--data", kaggle, "--out", "new")
    assert (done.code, done.err.count("\n"), "error: new is a folder" in done.err) == (1, 1, True)
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 298
    listed = typed("list").out
    assert "ten-way" in listed
    assert "served" in listed


def test_a_run_is_resumed_and_exported_from_another_folder(
    typed: Typed, tmp_path: Path, kaggle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--data as one types it, relative to a folder one has left since; then the data move too."""
    shutil.copytree(kaggle, tmp_path / "here")
    assert typed("train", "--data", "here", "--epochs", 1, "--batch-size", 32).code == 0
    run = Run(next((tmp_path / "runs").iterdir()).absolute())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert typed("export", "--run", run.folder).code == 0
    (run.folder / "result.json").unlink()
    assert typed("train", "--resume", run.folder).code == 0
    (run.folder / "result.json").unlink()
    (tmp_path / "here").rename(tmp_path / "there")
    done = typed("train", "--resume", run.folder)
    assert (done.code, "Give the place of the same files with --data." in done.err) == (1, True)
    assert typed("train", "--resume", run.folder, "--data", "../there").code == 0
    assert run.finished


def test_retrain_exits_with_0_promoted_or_not(typed: Typed, repository: RepositoryWriter, kaggle: Path) -> None:
    words = ["retrain", "--data", kaggle, "--epochs", 1, "--models", repository.root]
    done = typed(*words, "--tolerance", 0.2, "--chance", 0.25)
    assert (done.code, repository.current("digits")) == (0, 1)
    assert "NOT PROMOTED" in done.out
    assert "0.2 points are tolerated, and 0.25, the most that is attributed to chance" in done.out
    done = typed(*words, "--force", "a drill")
    assert (done.code, repository.current("digits")) == (0, 4)
    assert "version 4: forced: a drill" in done.out


def test_a_retraining_is_resumed_with_its_options(
    typed: Typed, tmp_path: Path, repository: RepositoryWriter, kaggle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with Ctrl-C in its first epoch: the message names the command, which keeps the first options."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    from training import train as training

    words = ["retrain", "--data", kaggle, "--epochs", 1, "--models", repository.root, "--force", "a drill"]
    with monkeypatch.context() as context:
        context.setattr(training, "_after_epoch", stop)
        done = typed(*words)
    run = next((tmp_path / "runs").iterdir())
    assert (done.code, f"Stopped. To continue: python -m training retrain --resume runs/{run.name}" in done.err) == (
        1,
        True,
    )
    done = typed("retrain", "--resume", run, "--tolerance", 3, "--force", "other")
    assert (done.code, "leave out --force, --tolerance" in " ".join(done.err.replace("│", " ").split())) == (2, True)
    done = typed("retrain", "--resume", run)
    assert (done.code, repository.current("digits")) == (0, 3)
    assert "version 3: forced: a drill" in done.out


def test_without_data_and_without_a_network_there_is_one_sentence(tmp_path: Path) -> None:
    """No npm on the PATH, and Keras is sent to a proxy that is not there."""
    nowhere = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "PATH": ""}
    done = process("train", folder=tmp_path, **nowhere)
    assert done.returncode == 1
    assert done.stderr.startswith("error: MNIST could not be fetched")
    assert done.stderr.count("\n") == 1
    assert "give your own copy with --data" in done.stderr
    assert not (tmp_path / "data" / "mnist").exists()


NEW_OPTION = """
    label_smoothing: Annotated[float, typer.Option(min=0, max=0.5, help="Share that goes to the other digits.")] = 0.1
"""
NEW_ARCHITECTURE = """

@architecture("linear", head=ONE_HOT)
def linear() -> "keras.Model":
    \"\"\"No hidden layer: 7,850 parameters.\"\"\"
    from keras import Input, Sequential, layers

    rows = [Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    return Sequential(rows, name="linear")
"""


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the trainer with one option and one architecture more: one edit in one file for each."""
    package = shutil.copytree(ROOT / "training", tmp_path / "copy" / "training")
    config, architectures = package / "config.py", package / "architectures.py"
    place = "    command: str"
    config.write_text(config.read_text().replace(place, NEW_OPTION.lstrip("\n") + place))
    architectures.write_text(architectures.read_text() + NEW_ARCHITECTURE)
    return package.parent


@pytest.mark.parametrize("command", ["train", "retrain"])
def test_a_new_option_and_a_new_architecture_are_in_the_help(command: str, changed: Path) -> None:
    path = f"{changed}{os.pathsep}{ROOT}"
    done = process(command, "--help", folder=changed, PYTHONPATH=path, COLUMNS="120")
    shown = " ".join(done.stdout.replace("│", " ").split())
    assert "--label-smoothing <float range> [0<=x<=0.5] Share that goes to the other digits. [default: 0.1]" in shown
    assert "linear: No hidden layer: 7,850 parameters." in shown


def test_a_new_option_and_a_new_architecture_go_from_train_to_the_card(changed: Path, kaggle: Path) -> None:
    options = ["--architecture", "linear", "--epochs", "1", "--label-smoothing", "0.25"]
    path = f"{changed}{os.pathsep}{ROOT}"
    done = process("train", "--data", kaggle, *options, folder=changed, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    run = next((changed / "runs").iterdir())
    saved = json.loads((run / "config.json").read_text())
    assert (saved["architecture"], saved["label_smoothing"]) == ("linear", 0.25)
    done = process("export", "--run", run, folder=changed, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    card = RepositoryWriter(changed / "models").card("digits", 1)
    assert (card["parameters"], card["training"]["config"]["label_smoothing"]) == (7850, 0.25)
    done = process("train", "--label-smoothing", "0.75", folder=changed, PYTHONPATH=path)
    assert done.returncode == 2
