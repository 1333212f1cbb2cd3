"""Is int8 faster, and as accurate? Static quantisation of each published version, calibrated on training digits.

    .venv/bin/python -m benchmarks.studies.int8 --data PATH     (needs the training extra)

It publishes nothing. benchmarks/README.md has its results.
"""

from __future__ import annotations

import argparse
import tempfile
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from service.engine.model import Model
from service.repository.repository import Repository
from training.data import idx

CALIBRATION_DIGITS = 1000


class Digits(CalibrationDataReader):  # type: ignore[misc]
    """Training digits in batches of 100."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(pixels.reshape(-1, 100, 28, 28, 1))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}


def quantised(source: Path, pixels: NDArray[np.uint8], folder: Path) -> Path:
    """Writes an int8 copy of the model (QDQ, per channel) into `folder` and returns its path."""
    prepared, target = folder / "prepared.onnx", folder / "int8.onnx"
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        Digits(pixels),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],  # the decoding stays in float32
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    return target


def microseconds(model: Model, rows: int) -> float:
    """Microseconds per digit in batches of `rows`, one thread, best of seven."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    number = max(10, 2000 // rows)
    return min(timeit.repeat(lambda: model.predict(pixels), number=number, repeat=7)) / number / rows * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="MNIST's IDX files")
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    repository = Repository(arguments.models)
    train, held_out = idx.read(arguments.data, "train").pixels, idx.read(arguments.data, "test")
    test, labels = held_out.pixels, held_out.labels
    with tempfile.TemporaryDirectory() as folder:
        for version in repository.versions("digits"):
            source = repository.model_path("digits", version)
            int8 = quantised(source, train[:CALIBRATION_DIGITS], Path(folder))
            for kind, path in (("float32", source), ("int8", int8)):
                model = Model.load(path)
                found = np.concatenate([model.predict(piece) for piece in np.array_split(test, 100)])
                right = (found.argmax(axis=1) == labels).mean()
                times = ", ".join(f"{rows}: {microseconds(model, rows):.1f}" for rows in (1, 16, 64))
                size = path.stat().st_size // 1000
                print(
                    f"version {version} {kind:8s} accuracy {right:.2%}  {size} kB  us per digit, by batch size: {times}"
                )


if __name__ == "__main__":
    main()
