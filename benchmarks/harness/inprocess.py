"""onnxruntime without a server, in one process and one thread: digits per second at each batch size.

    python inprocess.py MODEL.onnx SECONDS

It is run with the service's own Python, so that the library is the same. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime as ort

BATCHES = (1, 16, 32, 64, 128, 256, 1024, 4096)


def digits_per_second(session: ort.InferenceSession, batch: int, seconds: float) -> float:
    """Mean over the runs that fit into `seconds`, at least three. A server's throughput is a mean too."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 28, 28, 1), np.uint8)
    session.run(["probabilities"], {"pixels": pixels})
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        session.run(["probabilities"], {"pixels": pixels})
        took.append(time.perf_counter() - began)
    return batch * len(took) / sum(took)


def main(path: str, seconds: float) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options)
    found = {batch: digits_per_second(session, batch, seconds / len(BATCHES)) for batch in BATCHES}
    best = max(found, key=lambda batch: found[batch])
    print(json.dumps({"best_batch": best, "digits_per_second": found[best], "by_batch": found}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
