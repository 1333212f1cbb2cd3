"""The model file that everyone serves, and what onnxruntime in this process answers: what is right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.harness.digits import Pixels, digits
from benchmarks.harness.forms import Probabilities, answer_bytes

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Reference:
    """One published version, read straight from the model repository."""

    models_dir: Path
    name: str
    version: int

    @classmethod
    def current(cls, models_dir: Path, name: str) -> Reference:
        """The promoted version of `name`. Raises FileNotFoundError, with advice, where there is none."""
        current = models_dir / name / "current"
        if not current.is_file():
            raise FileNotFoundError(f"{current} is missing: train and promote a model, or give --models-dir")
        return cls(models_dir.resolve(), name, int(current.read_text()))

    @property
    def path(self) -> Path:
        return self.models_dir / self.name / str(self.version) / "model.onnx"

    @property
    def answer_bytes(self) -> int:
        """Size of our answer to one digit."""
        return answer_bytes(self.expected(digits(1)), self.name, self.version)

    def expected(self, pixels: Pixels) -> Probabilities:
        return np.asarray(
            self._session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0], np.float64
        )

    def is_right(self, found: Probabilities, pixels: Pixels) -> bool:
        """The same digits, and every probability within 1e-4."""
        wanted = self.expected(pixels)
        close = found.shape == wanted.shape and np.allclose(found, wanted, rtol=0, atol=TOLERANCE)
        return bool(close and (found.argmax(axis=1) == wanted.argmax(axis=1)).all())

    @cached_property
    def _session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(str(self.path), options)
