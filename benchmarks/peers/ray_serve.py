"""Peer: Ray Serve, one replica, request batching as its performance page recommends.

python ray_serve.py
"""

from __future__ import annotations

import io
import os
import time

import numpy as np
import onnxruntime as ort
import orjson
import ray
from PIL import Image
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=128, ray_actor_options={"num_cpus": 1})
class Digits:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)

    async def __call__(self, request: Request) -> Response:
        rows = await self.classify(decode(request.headers["content-type"], await request.body()))
        return Response(orjson.dumps({"probabilities": rows.tolist()}), media_type="application/json")

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def classify(self, requests: list[np.ndarray]) -> list[np.ndarray]:
        rows = self.session.run(["probabilities"], {"pixels": np.concatenate(requests)})[0]
        return np.split(rows, np.cumsum([len(pixels) for pixels in requests])[:-1])


def decode(media_type: str, body: bytes) -> np.ndarray:
    if media_type == "application/json":
        pixels = np.array(orjson.loads(body)["instances"], np.uint8)
    elif media_type == "image/png":
        pixels = np.asarray(Image.open(io.BytesIO(body)).convert("L"), np.uint8)
    else:
        pixels = np.frombuffer(body, np.uint8)
    return pixels.reshape(-1, 28, 28, 1)


def main() -> None:
    ray.init(num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])})
    serve.run(Digits.bind(), blocking=False)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
