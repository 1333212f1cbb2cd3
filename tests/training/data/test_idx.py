"""MNIST's own files, plain and zipped, and mnist.npz; what is short, long or of another kind is refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.files import idx_bytes, write_idx
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError


def test_the_hash_is_of_the_unzipped_contents(handwriting: Digits, tmp_path: Path) -> None:
    plain = loader.load(write_idx(tmp_path / "plain", handwriting.pixels, handwriting.labels, test=10))
    zipped = loader.load(write_idx(tmp_path / "zipped", handwriting.pixels, handwriting.labels, test=10, zipped=True))
    assert list(plain.files.values()) == list(zipped.files.values())
    assert all(name.endswith(".gz") for name in zipped.files)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
Spoil = Callable[[Path], object]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zipped"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_one_of_the_files_stands_for_its_folder(name: str, zipped: bool, handwriting: Digits, tmp_path: Path) -> None:
    write_idx(tmp_path, handwriting.pixels[:50], handwriting.labels[:50], test=10, zipped=zipped)
    file = tmp_path / (f"{name}.gz" if zipped else name)
    assert (len(loader.load(file)), len(loader.load(file, "test"))) == (40, 10)
    assert loader.parts(file) == ["train", "test"]
    assert loader.has_labelled_test(file)


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


REFUSED = {
    "truncated in row 21": (
        rewrite(IMAGES, lambda b: b[: 16 + 20 * 784 + 5]),
        f"{IMAGES}, row 21: the file ends here; expected 40 rows of 784",
    ),
    "truncated labels": (
        rewrite(LABELS, lambda b: b[:-1]),
        f"{LABELS}, row 40: the file ends here; expected 40 rows of 1",
    ),
    "truncated header": (rewrite(IMAGES, lambda b: b[:10]), f"{IMAGES}: only 10 bytes; expected a header of 16"),
    "too long": (rewrite(IMAGES, lambda b: b + b"xyz"), f"{IMAGES}: 3 bytes too many after row 40"),
    "empty": (rewrite(IMAGES, lambda b: b""), f"{IMAGES} is empty"),
    "labels for pictures": (
        rewrite(IMAGES, lambda b: idx_bytes(np.zeros(9000, np.uint8))),
        "begins with 00 00 08 01; expected 00 00 08 03",
    ),
    "floats": (rewrite(IMAGES, lambda b: b"\0\0\x0d" + b[3:]), "begins with 00 00 0d 03; expected 00 00 08 03"),
    "sizes of 4,294,967,295": (
        rewrite(IMAGES, lambda b: b[:4] + b"\xff" * 12),
        f"{IMAGES}: images of 4294967295x4294967295; expected 28x28.",
    ),
    "4,294,967,295 pictures": (
        rewrite(IMAGES, lambda b: b[:4] + b"\xff" * 4 + b[8:]),
        f"{IMAGES}, row 41: the file ends here; expected 4294967295 rows of 784 bytes",
    ),
    "no digits": (rewrite(IMAGES, lambda b: idx_bytes(np.zeros((0, 28, 28), np.uint8))), "holds no digits"),
    "27 rows": (
        rewrite(IMAGES, lambda b: idx_bytes(np.zeros((40, 27, 28), np.uint8))),
        "images of 27x28; expected 28x28",
    ),
    "39 labels": (
        rewrite(LABELS, lambda b: idx_bytes(np.zeros(39, np.uint8))),
        f"40 images, but {LABELS} has 39 labels",
    ),
    "label 10": (
        rewrite(LABELS, lambda b: b[:13] + b"\x0a" + b[14:]),
        f"{LABELS}, row 6: the label is 10; expected a digit 0 to 9",
    ),
    "no labels": (lambda folder: (folder / LABELS).unlink(), "lacks train-labels-idx1-ubyte"),
    "no pictures": (lambda folder: (folder / IMAGES).unlink(), "holds no train digits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, handwriting: Digits, tmp_path: Path) -> None:
    write_idx(tmp_path, handwriting.pixels[:50], handwriting.labels[:50], test=10)
    spoil, sentence = REFUSED[name]
    spoil(tmp_path)
    with pytest.raises(DataError) as refused:
        loader.load(tmp_path)
    assert sentence in str(refused.value)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "bits flipped"])
def test_a_damaged_gz_is_refused(damage: str, handwriting: Digits, tmp_path: Path) -> None:
    write_idx(tmp_path, handwriting.pixels[:50], handwriting.labels[:50], test=10, zipped=True)
    file = tmp_path / f"{IMAGES}.gz"
    whole = file.read_bytes()
    middle = len(whole) // 2
    spoilt = {
        "truncated": whole[:middle],
        "not gzip": b"<html>",
        "bits flipped": whole[:middle] + bytes(9) + whole[middle + 9 :],
    }
    file.write_bytes(spoilt[damage])
    with pytest.raises(DataError, match=rf"{IMAGES}.gz: cannot be unzipped .*fetch it again"):
        loader.load(tmp_path)
