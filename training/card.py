"""The model card, card.json: everything a stranger needs to know about a published model, in one dictionary.

It names files without their folders: the card is public, the directories of the training machine are not.
"""

import base64
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.engine.model import Model
from training import summary
from training.architectures import Architecture
from training.config import TrainConfig
from training.data.digits import LabelledDigits
from training.graph import OPSET
from training.metrics import keras_accuracy, measure
from training.predict import predict
from training.reference import reference
from training.split import Split

CLASSES = [str(digit) for digit in range(10)]
TOOLS = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")
SELF_TEST_DIGITS = 4
# Public text: the card of a published model holds it.
KERAS_ACCURACY = (
    "What Keras prints as accuracy for this head. It counts the 100 cells of a label, above one half or not; 90 of "
    "them are 0, and one softmax can lift a single cell above one half, so it lies between 0.90 (nothing learned) and "
    "0.91. It says nothing about digits: see metrics."
)

Card = dict[str, Any]


def about_model(architecture: Architecture, model: keras.Model) -> Card:
    """architecture, description, layers, summary, parameters, classes, opset, inputs and outputs."""
    layers = summary.rows(model)
    outputs = [{"name": "probabilities", "dtype": "float32", "shape": ["N", 10]}]
    if architecture.head.keeps_output:
        outputs.append({"name": "lecture_output", "dtype": "float32", "shape": ["N", *model.output_shape[1:]]})
    return {
        "architecture": architecture.name,
        "description": architecture.description,
        "summary": summary.table(architecture.name, layers),
        "layers": layers,
        "parameters": model.count_params(),
        "classes": CLASSES,
        "opset": OPSET,
        "inputs": [{"name": "pixels", "dtype": "uint8", "shape": ["N", 28, 28, 1]}],
        "outputs": outputs,
    }


def about_training(config: TrainConfig, result: dict[str, Any]) -> Card:
    """The command, every option, and the result, epoch by epoch."""
    options = {name: value for name, value in asdict(config).items() if name not in ("command", "data", "feedback")}
    history = [{name: round(value, 6) for name, value in row.items()} for row in result["history"]]
    return {"training": {"command": config.command, "config": options, **result, "history": history}}


def about_data(split: Split, config: TrainConfig) -> Card:
    """The files with the SHA-256 of their unzipped contents, and how the digits were split."""
    training, held_out = len(split.training), len(split.held_out)
    shares = {
        "train": training,
        "validation": held_out,
        "validation_share": config.validation_share,
        "random_state": config.split_seed,
    }
    files = split.training.files
    return {"data": {"source": split.source.name, "rows": training + held_out, "split": shares, "sha256": files}}


def about_quality(model: Model, held_out: LabelledDigits, test: LabelledDigits | None) -> Card:
    """The metrics on the held-out digits and on the test digits, if there are any; the reference for drift."""
    probabilities = predict(model, held_out.pixels)
    metrics = {"validation": measure(probabilities, held_out.labels)}
    if test is not None:
        metrics["test"] = measure(predict(model, test.pixels), test.labels)
    quality = {
        "metrics": metrics,
        "reference": reference(held_out.pixels, probabilities),
        "self_test": self_test(model, held_out),
    }
    if model.has_lecture_output:
        printed = keras_accuracy(model.lecture_output(held_out.pixels), held_out.labels)
        quality["keras_accuracy"] = {"validation": printed, "explanation": KERAS_ACCURACY}
    return quality


def self_test(model: Model, digits: LabelledDigits) -> Card:
    """A few digits with the graph's answers: the service checks at loading that the model still gives them."""
    pixels = digits.pixels[:SELF_TEST_DIGITS]
    return {
        "pixels": base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode(),
        "shape": list(pixels.shape),
        "probabilities": [[float(value) for value in row] for row in model.predict(pixels)],
    }


def about_tools() -> Card:
    """The versions of the libraries, and the git commit of the code (None outside git)."""
    return {
        "tools": {"python": platform.python_version()} | {tool: _version(tool) for tool in TOOLS},
        "git_commit": git_commit(),
    }


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:  # the training image installs tensorflow-cpu, which has no CUDA
        return version(f"{tool}-cpu")


def git_commit() -> str | None:
    """The commit of the training code, with "-dirty" if files were changed since; None where there is no git."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = ["git", "status", "--porcelain", "--", "."]
        clean = subprocess.run(status, cwd=here, capture_output=True, text=True, check=True).stdout == ""
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit if clean else f"{commit}-dirty"
