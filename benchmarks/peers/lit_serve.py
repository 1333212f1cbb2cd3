"""Peer: LitServe, one worker, one API server. Its ZeroMQ queue (fast_queue) was slower on one core.

    python lit_serve.py

BENCH_BATCH is the largest batch: 1 (no batching) or 16. The parameter of `decode_request` has no annotation, because
LitServe would take an annotated one for a query parameter.
"""

import os
from typing import Any

import litserve as ls
import numpy as np
import onnxruntime as ort
from PIL import Image


class Digits(ls.LitAPI):
    def setup(self, device: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)

    def decode_request(self, request) -> np.ndarray:
        if "file" in request:
            return np.asarray(Image.open(request["file"].file).convert("L"), np.uint8)[np.newaxis]
        return np.array(request["instances"], np.uint8)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        self.ends = np.cumsum([len(pixels) for pixels in inputs])[:-1]
        return np.concatenate(inputs)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self.session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0]

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return np.split(output, self.ends)

    def encode_response(self, rows: np.ndarray) -> dict[str, Any]:
        return {"probabilities": rows.tolist()}


if __name__ == "__main__":
    size = int(os.environ["BENCH_BATCH"])
    api = Digits(max_batch_size=size, batch_timeout=0.01 if size > 1 else 0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    port = int(os.environ["BENCH_PORT"])
    server.run("127.0.0.1", port, num_api_servers=1, log_level="warning", generate_client_file=False)
