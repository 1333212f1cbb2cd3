"""The loaded versions of the models. Protocols get predictions through inference.py only."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when onnxruntime loads
