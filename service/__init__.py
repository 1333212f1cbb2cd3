"""The HTTP service: a digit classifier in ONNX behind FastAPI. Never imports TensorFlow, Keras, tf2onnx or training."""

__version__ = "0.1.0"
