"""Any folder or file with digits is recognised by its names; others are refused with what to give."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.files import csv_table, write_idx, write_npz
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


def test_suffixes_may_be_capitals(handwriting: Digits, tmp_path: Path) -> None:
    write_npz(tmp_path / "MNIST.npz", handwriting.pixels[:50], handwriting.labels[:50], test=10)
    (tmp_path / "MNIST.npz").rename(tmp_path / "MNIST.NPZ")
    assert len(loader.load(tmp_path / "MNIST.NPZ", "test")) == 10
    assert loader.has_labelled_test(tmp_path / "MNIST.NPZ")
    csv_table(handwriting.pixels[:50], handwriting.labels[:50]).to_csv(tmp_path / "MINE.CSV", index=False)
    assert len(loader.load(tmp_path / "MINE.CSV")) == 50
    assert not loader.has_labelled_test(tmp_path / "MINE.CSV")


@pytest.mark.parametrize("place", ["nowhere", "empty", "notes.txt"])
def test_a_place_without_digits_is_refused_with_what_to_give(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("3")
    with pytest.raises(DataError, match=rf"{place}.*Give a folder with train.csv"):
        loader.load(tmp_path / place)
