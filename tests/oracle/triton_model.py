"""The model that Triton's Python backend runs: the same ONNX file through onnxruntime."""

from pathlib import Path

import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The class that the Python backend loads by this name."""

    def initialize(self, args):
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        pixels = pb_utils.get_input_tensor_by_name(request, "pixels").as_numpy()
        probabilities = self.session.run(["probabilities"], {"pixels": pixels})[0]
        return pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", probabilities)])
