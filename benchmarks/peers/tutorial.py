"""Peer: a service as FastAPI tutorials write it: pydantic models, `def` routes, onnxruntime called in the route.

uvicorn tutorial:app --no-access-log     (uvicorn[standard]: uvloop and httptools, as FastAPI's deployment page says)
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, UploadFile
from PIL import Image
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["BENCH_MODEL"], options)
app = FastAPI()


class Digits(BaseModel):
    instances: list[list[list[int]]]


class Prediction(BaseModel):
    digit: int
    confidence: float
    probabilities: list[float]


class Predictions(BaseModel):
    predictions: list[Prediction]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(body: Digits) -> Predictions:
    return classify(np.array(body.instances, np.uint8))


@app.post("/image")
def image(file: UploadFile) -> Predictions:
    return classify(np.asarray(Image.open(file.file).convert("L"), np.uint8))


def classify(pixels: np.ndarray) -> Predictions:
    rows = session.run(["probabilities"], {"pixels": pixels.reshape(-1, 28, 28, 1)})[0]
    return Predictions(
        predictions=[
            Prediction(digit=int(row.argmax()), confidence=float(row.max()), probabilities=row.tolist()) for row in rows
        ]
    )
