"""MNIST's own files, plain and zipped, and mnist.npz; what is short, long or of another kind is refused by name."""

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.files import csv_table, idx_bytes, write_idx, write_npz
from training.data import loader
from training.data.digits import Digits
from training.errors import DataError


@pytest.mark.parametrize("form", ["plain", "zipped", "npz", "npz in a folder", "dotted names"])
def test_both_parts_are_read_exactly(form: str, handwriting: Digits, tmp_path: Path) -> None:
    pixels, labels = handwriting.pixels[:50], handwriting.labels[:50]
    place = tmp_path / "mnist.npz" if "npz" in form else tmp_path
    if "npz" in form:
        write_npz(place, pixels, labels, test=10)
        place = tmp_path if "folder" in form else place
    else:
        write_idx(tmp_path, pixels, labels, test=10, zipped=form == "zipped")
    if form == "dotted names":
        for file in list(tmp_path.iterdir()):
            file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    for part, where in (("train", slice(None, 40)), ("test", slice(40, None))):
        read = loader.load(place, part)
        np.testing.assert_array_equal(read.pixels, pixels[where])
        np.testing.assert_array_equal(read.labels, labels[where])
    assert loader.parts(place) == ["train", "test"]
    assert loader.has_labelled_test(place)


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


def test_suffixes_may_be_capitals(handwriting: Digits, tmp_path: Path) -> None:
    write_npz(tmp_path / "MNIST.npz", handwriting.pixels[:50], handwriting.labels[:50], test=10)
    (tmp_path / "MNIST.npz").rename(tmp_path / "MNIST.NPZ")
    assert len(loader.load(tmp_path / "MNIST.NPZ", "test")) == 10
    assert loader.has_labelled_test(tmp_path / "MNIST.NPZ")
    csv_table(handwriting.pixels[:50], handwriting.labels[:50]).to_csv(tmp_path / "MINE.CSV", index=False)
    assert len(loader.load(tmp_path / "MINE.CSV")) == 50
    assert not loader.has_labelled_test(tmp_path / "MINE.CSV")


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
        f"{IMAGES}: pictures of 4294967295x4294967295; expected 28x28.",
    ),
    "4,294,967,295 pictures": (
        rewrite(IMAGES, lambda b: b[:4] + b"\xff" * 4 + b[8:]),
        f"{IMAGES}, row 41: the file ends here; expected 4294967295 rows of 784 bytes",
    ),
    "no digits": (rewrite(IMAGES, lambda b: idx_bytes(np.zeros((0, 28, 28), np.uint8))), "holds no digits"),
    "27 rows": (
        rewrite(IMAGES, lambda b: idx_bytes(np.zeros((40, 27, 28), np.uint8))),
        "pictures of 27x28; expected 28x28",
    ),
    "39 labels": (
        rewrite(LABELS, lambda b: idx_bytes(np.zeros(39, np.uint8))),
        f"40 pictures, but {LABELS} has 39 labels",
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


def one_pixel(value: int) -> np.ndarray:
    """Five pictures; the fourth has one pixel of that value."""
    pixels = np.zeros((5, 28, 28), np.int16)
    pixels[3, 5, 5] = value
    return pixels


NPZ = {
    "no such array": (
        {"x_train": np.zeros((5, 28, 28), np.uint8)},
        "mnist.npz: has no array y_train (found: x_train); expected x_train, y_train, x_test and y_test.",
    ),
    "pixels as a row": (
        {"x_train": np.zeros((5, 784), np.uint8)},
        "x_train has the shape (5, 784); expected (n, 28, 28)",
    ),
    "floats": ({"x_train": np.zeros((5, 28, 28), np.float32)}, "x_train holds float32; expected whole numbers"),
    "256": ({"x_train": one_pixel(256)}, "row 4 of x_train: a pixel is 256"),
    "-1": ({"x_train": one_pixel(-1)}, "row 4 of x_train: a pixel is -1"),
    "four labels": ({"y_train": np.zeros(4, np.uint8)}, "y_train has the shape (4,); expected (5,)"),
    "label 11": ({"y_train": np.array([1, 2, 11, 4, 5])}, "row 3 of y_train: the label is 11; expected a digit 0 to 9"),
    "labels as text": ({"y_train": np.array(list("12345"))}, "y_train holds text; expected whole numbers"),
    "pickled": ({"y_train": np.array([1, "a", None, {}, 2], object)}, "y_train holds Python objects; expected whole"),
}


@pytest.mark.parametrize("name", NPZ)
def test_a_wrong_npz_is_refused(name: str, tmp_path: Path) -> None:
    arrays, sentence = NPZ[name]
    usual = {"x_train": np.zeros((5, 28, 28), np.uint8), "y_train": np.zeros(5, np.uint8)}
    np.savez(tmp_path / "mnist.npz", **(arrays if name == "no such array" else usual | arrays))
    with pytest.raises(DataError) as refused:
        loader.load(tmp_path / "mnist.npz")
    assert sentence in str(refused.value)
    assert "mnist.npz" in str(refused.value)


def an_array_alone() -> bytes:
    """What numpy.save writes, and np.load gives back as an array where an .npz is expected."""
    np.save(stream := io.BytesIO(), np.zeros((5, 28, 28), np.uint8))
    return stream.getvalue()


NO_NPZ = [b"", b"PK\x03\x04 half a zip", gzip.compress(b"something else"), pickle.dumps([1, 2]), an_array_alone()]


@pytest.mark.parametrize("content", NO_NPZ, ids=["empty", "half a zip", "gzip", "a pickle", "one array"])
def test_an_npz_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mnist.npz: cannot be read as an .npz file") as refused:
        loader.load(tmp_path / "mnist.npz")
    assert "pickle" not in str(refused.value)  # numpy's advice is to allow pickles
    assert "protocol" not in str(refused.value)
    with pytest.raises(DataError, match=r"mnist.npz: cannot be read as an .npz file"):
        loader.load(tmp_path)


def test_an_npz_without_test_digits_has_one_part(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x_train=np.zeros((5, 28, 28), np.uint8), y_train=np.zeros(5, np.uint8))
    assert loader.parts(tmp_path / "mine.npz") == ["train"]
    assert not loader.has_labelled_test(tmp_path / "mine.npz")


@pytest.mark.parametrize("place", ["nowhere", "empty", "notes.txt"])
def test_a_place_without_digits_is_refused_with_what_to_give(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("3")
    with pytest.raises(DataError, match=rf"{place}.*Give a folder with train.csv"):
        loader.load(tmp_path / place)
