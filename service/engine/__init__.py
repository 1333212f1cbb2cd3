"""The live versions of the models, and the one door to an answer: inference.py."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when onnxruntime loads, in whichever file of this room
