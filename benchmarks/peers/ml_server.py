"""Peer: MLServer with a custom runtime that calls onnxruntime. Its settings come from MLSERVER_* variables.

mlserver start .     (MLSERVER_MODEL_IMPLEMENTATION=ml_server.Digits)
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Digits(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8, copy=False)
        rows = self._session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", rows)])
