"""The model card: what it says about the model, the training, the data and the metrics."""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from service.engine.model import Model
from service.repository.repository import Repository
from training import card
from training.data import loader
from training.metrics import keras_accuracy, measure
from training.runs import Run
from training.split import split


@pytest.fixture(params=[1, 2], ids=["lecture-cnn", "ten-way"])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


def test_the_card_says_what_it_is(version: int, published: Repository) -> None:
    said = published.card("digits", version)
    assert said["architecture"] == ("lecture-cnn", "ten-way")[version - 1]
    assert said["parameters"] == (228_036, 204_906)[version - 1] == sum(row["params"] for row in said["layers"])
    assert len(said["layers"]) == (11, 10)[version - 1]
    assert list(said["layers"][0].values()) == ["Conv2D", "8 filters 5x5, same, ReLU", "(None, 28, 28, 8)", 208]
    assert said["classes"] == list("0123456789")
    assert said["opset"] == 18
    assert said["summary"] == Model.load(published.model_path("digits", version)).summary()
    assert (said["name"], said["version"]) == ("digits", version)
    assert said["sha256"] == hashlib.sha256(published.model_path("digits", version).read_bytes()).hexdigest()


def test_the_card_says_how_it_was_made(published: Repository, runs: dict[str, Run], kaggle: Path) -> None:
    said = published.card("digits", 1)
    config, result = runs["lecture-cnn"].config, runs["lecture-cnn"].result()
    assert said["training"]["command"] == "a test"
    assert said["training"]["config"]["seed"] == config.seed
    assert said["training"]["config"]["augment"] is True
    assert said["training"]["best_epoch"] == result["best_epoch"]
    assert len(said["training"]["history"]) == said["training"]["epochs_run"] == 8
    assert said["training"]["seconds"] > 0
    assert said["data"]["split"] == {"train": 1350, "validation": 150, "validation_share": 0.1, "random_state": 2}
    assert said["data"]["rows"] == 1500
    assert said["data"]["sha256"] == {"train.csv": hashlib.sha256((kaggle / "train.csv").read_bytes()).hexdigest()}
    assert set(said["tools"]) == {"python", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy"}


def test_no_card_says_where_it_was_made(version: int, published: Repository, kaggle: Path) -> None:
    text = json.dumps(published.card("digits", version))
    assert str(kaggle) not in text
    assert str(kaggle.parent) not in text
    assert "/tmp" not in text
    assert published.card("digits", version)["data"]["source"] == "kaggle"


def test_the_card_measures_the_digits_held_out(version: int, published: Repository, kaggle: Path) -> None:
    said = published.card("digits", version)
    held_out = split(loader.load(kaggle), 0.1, 2)[1]
    model = Model.load(published.model_path("digits", version))
    probabilities = model.predict(held_out.pixels)
    assert said["metrics"] == {
        "validation": measure(probabilities, held_out.labels)
    }  # Kaggle's data have no test labels
    assert said["parity"]["digits"] >= 1000
    assert said["parity"]["random"] >= 1000
    assert said["parity"]["max_abs_diff"] <= 1e-5
    if version == 1:
        outputs = model.lecture_output(held_out.pixels)
        assert said["keras_accuracy"]["validation"] == keras_accuracy(outputs, held_out.labels)
        assert 0.9 <= said["keras_accuracy"]["validation"] <= 0.91
    else:
        assert "keras_accuracy" not in said


def test_the_self_test_in_the_card_holds(version: int, published: Repository) -> None:
    stored = published.card("digits", version)["self_test"]
    pixels = np.frombuffer(base64.b64decode(stored["pixels"]), np.uint8).reshape(-1, 28, 28)
    assert list(pixels.shape) == stored["shape"] == [4, 28, 28]
    Model.load(published.model_path("digits", version)).self_test(pixels, np.float32(stored["probabilities"]))


def test_the_reference_for_drift(version: int, published: Repository, kaggle: Path) -> None:
    said = published.card("digits", version)["reference"]
    held_out = split(loader.load(kaggle), 0.1, 2)[1]
    for name in ("class_shares", "confidence_histogram", "ink_mean_histogram"):
        assert sum(said[name]) == pytest.approx(1, abs=1e-4)
    assert len(said["class_shares"]) == len(said["confidence_histogram"]) == 10
    assert len(said["ink_mean_edges"]) == len(said["ink_mean_histogram"]) + 1
    ink = held_out.pixels.mean(axis=(1, 2))
    share = ((ink >= said["ink_mean_edges"][3]) & (ink < said["ink_mean_edges"][4])).mean()
    assert said["ink_mean_histogram"][3] == pytest.approx(share, abs=1e-5)


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "__file__", str(tmp_path / "card.py"))
    assert card.git_commit() is None
