"""The model file that all contenders serve, and the right answers, from onnxruntime in this process."""

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
    """One version of a model, read from the model repository's files."""

    models_dir: Path
    name: str
    version: int

    @classmethod
    def current(cls, models_dir: Path, name: str) -> Reference:
        """The promoted version of `name`. Raises FileNotFoundError, with advice, where there is none."""
        current = models_dir / name / "current"
        if not current.is_file():
            raise FileNotFoundError(f"{current} is missing. Train and promote a model, or give --models-dir")
        return cls(models_dir.resolve(), name, int(current.read_text()))

    @property
    def path(self) -> Path:
        return self.models_dir / self.name / str(self.version) / "model.onnx"

    @property
    def answer_bytes(self) -> int:
        """Length of the service's answer to one digit, in bytes."""
        return answer_bytes(self.expected(digits(1)), self.name, self.version)

    def expected(self, pixels: Pixels) -> Probabilities:
        """The right probabilities, float64 (n, 10)."""
        return np.asarray(
            self._session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0], np.float64
        )

    def is_right(self, found: Probabilities, pixels: Pixels) -> bool:
        """Whether the digits are the same and every probability is within 1e-4."""
        wanted = self.expected(pixels)
        close = found.shape == wanted.shape and np.allclose(found, wanted, rtol=0, atol=TOLERANCE)
        return bool(close and (found.argmax(axis=1) == wanted.argmax(axis=1)).all())

    @cached_property
    def _session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(str(self.path), options)
