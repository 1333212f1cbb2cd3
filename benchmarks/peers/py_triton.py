"""Peer: PyTriton, the Triton Inference Server with its own C++ front end and a Python model that calls onnxruntime.

    python py_triton.py

One instance, dynamic batching without delay, which Triton's page on batchers recommends as a start. It needs a Python
whose shared library is on LD_LIBRARY_PATH. Its server can outlive this process; the benchmark ends both.
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)


@batch
def infer(pixels: np.ndarray) -> dict[str, np.ndarray]:
    return {"probabilities": session.run(["probabilities"], {"pixels": pixels})[0]}


def main() -> None:
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["BENCH_PORT"]),
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="digits",
            infer_func=infer,
            inputs=[Tensor(name="pixels", dtype=np.uint8, shape=(28, 28, 1))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=4096, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            strict=False,
        )
        triton.serve()


if __name__ == "__main__":
    main()
