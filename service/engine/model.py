"""One ONNX session: an array of digits in, probabilities out. It knows nothing of HTTP, versions or other requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.digits import Pixels, Probabilities
from service.engine.graph_check import check_graph
from service.engine.operators import Operators
from service.engine.run_watchdog import RunWatchdog
from service.engine.session import PROVIDERS, choose_provider, make_session
from service.errors import ModelBroken
from service.repository.bounded_file import MAX_MODEL_BYTES

INPUT, INPUT_TYPE, INPUT_SHAPE = "pixels", "tensor(uint8)", [28, 28, 1]
OUTPUT, OUTPUT_TYPE, OUTPUT_SHAPE = "probabilities", "tensor(float)", [10]
LECTURE_OUTPUT, LECTURE_SHAPE = "lecture_output", [10, 10, 1]
CLASSES = OUTPUT_SHAPE[0]
TOLERANCE = 1e-4  # between machines: float32 sums in another order

BATCH_ROWS = {"cpu": 32, "cuda": 1024}  # on a CPU a digit costs the same from 32 on, and memory grows with the batch


class Model:
    """A digit classifier, loaded, checked and warmed.

    Attributes:
        provider: "cpu" or "cuda", the one in use.
        batch_rows: most digits in one run that other requests wait for; a GPU takes many in the time of a few.
        metadata: what the ONNX file says of itself: name, version, architecture, classes, summary.
        has_lecture_output: whether the lecture's own (n, 10, 10, 1) output can be asked for.
    """

    def __init__(self, session: ort.InferenceSession, watchdog: RunWatchdog | None = None) -> None:
        self._session = session
        self._watchdog = watchdog
        _check_signature(session)
        self.provider = "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"
        self.batch_rows = BATCH_ROWS[self.provider]
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self.has_lecture_output = LECTURE_OUTPUT in {o.name for o in session.get_outputs()}

    @classmethod
    def load(
        cls,
        source: Path | bytes,
        provider: str = "cpu",
        threads: int = 1,
        operators: Operators | None = None,
        watchdog: RunWatchdog | None = None,
    ) -> Model:
        """Load an ONNX file (or its bytes), check that it is a digit classifier, and run it once.

        Args:
            source: path of the file, or its content.
            provider: "cpu", "cuda", or "auto": CUDA where it works, else CPU.
            threads: intra-op threads; ONNX Runtime's own default is every core of the host, whatever our share is.
            operators: those that the model may use; None: as DIGITS_ALLOWED_OPERATORS says.
            watchdog: ends runs that take too long; None: nobody does.

        Raises:
            ModelBroken: not ONNX, not a digit classifier, or a program that must not run here (graph_check.py).
            ProviderUnavailable: provider is "cuda" and it does not work here.
        """
        data = source if isinstance(source, bytes) else _read(source)
        check_graph(data, operators or Operators.from_environment())
        model = cls(make_session(data, choose_provider(provider, data), threads), watchdog)
        model._warm()
        return model

    def predict(self, pixels: Pixels) -> Probabilities:
        """Classify digits.

        Args:
            pixels: uint8 (n, 28, 28) or (n, 28, 28, 1), 0-255, bright ink on a dark ground.

        Returns:
            float32 (n, 10): for each digit the probability of each class; rows sum to 1.

        Raises:
            RunTimeout: the watchdog ended the run.
        """
        return self._run([OUTPUT], pixels)[0]

    def lecture_output(self, pixels: Pixels) -> NDArray[np.float32]:
        """The lecture's own output, float32 (n, 10, 10, 1): one softmax over 100 cells (docs/lecture)."""
        if not self.has_lecture_output:
            raise ModelBroken(f"This model has no output {LECTURE_OUTPUT}; the architecture lecture-cnn has.")
        return self._run([LECTURE_OUTPUT], pixels)[0]

    def predict_all(self, pixels: Pixels) -> NDArray[np.float32]:
        """Both outputs of one run, float32 (n, 110): 10 probabilities, and behind them 100 cells of lecture_output."""
        probabilities, cells = self._run([OUTPUT, LECTURE_OUTPUT], pixels)
        return np.concatenate([probabilities, cells.reshape(len(cells), -1)], axis=1)

    def summary(self) -> str:
        """The layer table, as the lecture prints it."""
        return self.metadata.get("summary", "")

    def classes(self) -> list[str]:
        """Class names in the order of the probabilities."""
        return list(json.loads(self.metadata.get("classes", '["0","1","2","3","4","5","6","7","8","9"]')))

    def signature(self) -> dict[str, list[dict[str, Any]]]:
        """Inputs and outputs: name, ONNX type, shape with -1 for the batch axis."""
        return {
            "inputs": [_describe(i) for i in self._session.get_inputs()],
            "outputs": [_describe(o) for o in self._session.get_outputs()],
        }

    def self_test(self, pixels: Pixels, expected: Probabilities) -> None:
        """Reproduce stored answers to within 1e-4, or raise ModelBroken."""
        found = self._try(pixels)
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
            raise ModelBroken("The model does not reproduce the self-test stored in its card; publish it again.")

    def _run(self, wanted: list[str], pixels: Pixels) -> list[NDArray[np.float32]]:
        run = self._run_bound if self.provider == "cuda" else self._run_plain
        return self._watchdog.run(run, wanted, pixels) if self._watchdog else run(wanted, pixels)

    def _run_plain(
        self, wanted: list[str], pixels: Pixels, options: ort.RunOptions | None = None
    ) -> list[NDArray[np.float32]]:
        feed = {INPUT: pixels.reshape(-1, *INPUT_SHAPE)}
        return self._session.run(wanted, feed, options)  # type: ignore[no-any-return]

    def _run_bound(
        self, wanted: list[str], pixels: Pixels, options: ort.RunOptions | None = None
    ) -> list[NDArray[np.float32]]:
        """For CUDA: the pixels, a byte each, go to the GPU in one copy, and outputs come back when all are done."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(INPUT, np.ascontiguousarray(pixels.reshape(-1, *INPUT_SHAPE)))
        for name in wanted:
            binding.bind_output(name, self.provider)
        self._session.run_with_iobinding(binding, options)
        return binding.copy_outputs_to_cpu()  # type: ignore[no-any-return]

    def _warm(self) -> None:
        for rows in (1, self.batch_rows):  # allocates what runs will need, before the first request
            found = self._try(np.zeros((rows, 28, 28), np.uint8))
            if found.shape != (rows, *OUTPUT_SHAPE) or not np.isfinite(found).all():
                raise ModelBroken(f"The model answers shape {found.shape} or numbers that are not finite.")
        if not np.allclose(found.sum(axis=1), 1, atol=1e-3):
            raise ModelBroken(f"The output {OUTPUT} does not sum to 1; is it decoded and normalised inside the graph?")

    def _try(self, pixels: Pixels) -> Probabilities:
        try:
            return self.predict(pixels)
        except Exception as error:  # ONNX Runtime checks some shapes only when it runs
            what = f"The model fails on {len(pixels)} digits; was it exported with a free batch axis?"
            raise ModelBroken(what) from error


def _read(path: Path) -> bytes:
    """The file's content, or one byte more than may be had."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_MODEL_BYTES + 1)
    except OSError:
        raise ModelBroken("The model file is missing or cannot be read.") from None


def _describe(argument: ort.NodeArg) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in argument.shape]
    return {"name": argument.name, "type": argument.type, "shape": shape}


def _check_signature(session: ort.InferenceSession) -> None:
    inputs = {i["name"]: i for i in map(_describe, session.get_inputs())}
    outputs = {o["name"]: o for o in map(_describe, session.get_outputs())}
    if set(inputs) != {INPUT}:
        raise ModelBroken(f"The model must have one input, {INPUT!r}, and has {sorted(inputs)}.")
    _check_argument(inputs[INPUT], INPUT_TYPE, [-1, *INPUT_SHAPE])
    if OUTPUT not in outputs:
        raise ModelBroken(f"The model must have an output {OUTPUT!r}, and has {sorted(outputs)}.")
    _check_argument(outputs[OUTPUT], OUTPUT_TYPE, [-1, *OUTPUT_SHAPE])
    if LECTURE_OUTPUT in outputs:
        _check_argument(outputs[LECTURE_OUTPUT], OUTPUT_TYPE, [-1, *LECTURE_SHAPE])


def _check_argument(argument: dict[str, Any], kind: str, shape: list[int]) -> None:
    if argument["type"] != kind or argument["shape"] != shape:
        raise ModelBroken(
            f"{argument['name']!r} must be {kind} of shape {shape}, and is {argument['type']} of {argument['shape']}."
        )
