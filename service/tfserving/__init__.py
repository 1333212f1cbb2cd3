"""TensorFlow Serving's JSON, in and out. It knows nothing of HTTP."""

from service.tfserving.answer import classify_answer, metadata, predict_answer, status
from service.tfserving.request import InferenceRequest, Picture, classify_request, predict_request

__all__ = [
    "InferenceRequest",
    "Picture",
    "classify_answer",
    "classify_request",
    "metadata",
    "predict_answer",
    "predict_request",
    "status",
]
