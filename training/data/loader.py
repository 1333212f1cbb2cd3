"""Reads any data folder or file: Kaggle's CSV, MNIST's IDX files or mnist.npz, distinguished by their names.

Nothing is fetched here: `python -m training data` does that (download.py).
"""

from pathlib import Path

from training.data import idx, npz
from training.data.digits import Digits
from training.errors import DataError

EXPECTED = "a folder with train.csv (Kaggle) or train-images-idx3-ubyte[.gz] (MNIST), an mnist.npz, or a .csv file"


def load(path: Path, part: str = "train") -> Digits:
    """The digits of `part`: "train" (labelled) or "test" (MNIST's 10,000 labelled, Kaggle's 28,000 unlabelled).

    A single .csv file is read as it is, whatever the part. One of MNIST's four files stands for the folder it is in.
    Raises DataError naming the file, the row and what was expected.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist. Give {EXPECTED}; or run `python -m training data` to fetch MNIST.")
    if path.is_dir():
        return _load_folder(path, part)
    if idx.is_one(path):
        return idx.read(path.parent, part)
    if path.suffix.lower() == ".csv":
        return _csv(path)
    if path.suffix.lower() == ".npz":
        return npz.read(path, part)
    raise DataError(f"{path} is not a kind of file that holds digits. Give {EXPECTED}.")


def parts(path: Path) -> list[str]:
    """Which of "train" and "test" the data set has; ["train"] if neither, so that `load` reports the problem."""
    return [part for part in ("train", "test") if _has(path, part)] or ["train"]


def has_labelled_test(path: Path) -> bool:
    """Whether the data set has separate labelled digits for testing. MNIST does; Kaggle's test.csv has no labels."""
    kaggle = path.suffix.lower() == ".csv" or any((path / f"{part}.csv").exists() for part in ("train", "test"))
    return not kaggle and "test" in parts(path)


def _has(path: Path, part: str) -> bool:
    if path.suffix.lower() == ".npz":
        return npz.has(path, part)
    folder = path.parent if idx.is_one(path) else path
    if any((path / f"{each}.csv").is_file() for each in ("train", "test")):
        return (path / f"{part}.csv").is_file()
    return idx.image_file(folder, part) is not None or npz.has(path / "mnist.npz", part)


def _load_folder(folder: Path, part: str) -> Digits:
    if not _has(folder, part):
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
        raise DataError(f"{folder} holds no {part} digits (found: {found}). Give {EXPECTED}.")
    if (folder / f"{part}.csv").is_file():
        return _csv(folder / f"{part}.csv", must_be_labelled=part == "train")
    if idx.image_file(folder, part) is not None:
        return idx.read(folder, part)
    return npz.read(folder / "mnist.npz", part)


def _csv(file: Path, must_be_labelled: bool = False) -> Digits:
    from training.data import kaggle  # pandas takes half a second to import, and only CSV needs it

    return kaggle.read(file, must_be_labelled)
