"""Keras's mnist.npz is read exactly, and refused with a sentence where it is damaged."""

import gzip
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from training.data import loader
from training.errors import DataError


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
