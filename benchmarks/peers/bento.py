"""Peer: BentoML, one worker. BENCH_BATCH=1 turns on adaptive batching: faster at many connections, slower at one.

bentoml serve bento:Digits --host 127.0.0.1 --port PORT
"""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime as ort
from PIL.Image import Image


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Digits:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)

    @bentoml.api(batchable=os.environ["BENCH_BATCH"] == "1", max_batch_size=4096, max_latency_ms=10_000)
    def predict(self, instances: np.ndarray) -> np.ndarray:
        return self._classify(instances.astype(np.uint8, copy=False))

    @bentoml.api
    def image(self, file: Image) -> np.ndarray:
        return self._classify(np.asarray(file.convert("L"), np.uint8))

    def _classify(self, pixels: np.ndarray) -> np.ndarray:
        return self.session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0]
