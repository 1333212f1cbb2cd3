"""A model's configuration for Triton Inference Server, as JSON and as models/<name>/config.pbtxt.

With that file Triton can serve models/ unchanged: of each model the version that this service serves. The fields are
those of the message ModelConfig in Triton's model_config.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

CONFIG_FILE, LABELS_FILE = "config.pbtxt", "labels.txt"
LECTURE_OUTPUT = {"name": "lecture_output", "data_type": "TYPE_FP32", "dims": [10, 10, 1]}
MAX_BATCH_SIZE = 256
OUTPUT_DEFAULTS = {"is_shape_tensor": False, "is_non_linear_format_io": False}
INPUT_DEFAULTS = OUTPUT_DEFAULTS | {"format": "FORMAT_NONE", "allow_ragged_batch": False, "optional": False}
GROUP_DEFAULTS = {"gpus": [], "secondary_devices": [], "profile": [], "passive": False, "host_policy": ""}
BATCHING = {
    "preferred_batch_size": [64],  # rows that the batcher runs together on the event loop
    "max_queue_delay_microseconds": 0,
    "preserve_ordering": False,
    "priority_levels": 0,
    "default_priority_level": 0,
    "priority_queue_policy": {},
}
DEFAULTS = {
    "runtime": "",
    "batch_input": [],
    "batch_output": [],
    "optimization": {
        "priority": "PRIORITY_DEFAULT",
        "input_pinned_memory": {"enable": False},
        "output_pinned_memory": {"enable": False},
        "gather_kernel_buffer_threshold": 0,
        "eager_batching": False,
    },
    "cc_model_filenames": {},
    "metric_tags": {},
    "parameters": {},
    "model_warmup": [],
}

Config = dict[str, Any]


def config(
    name: str, versions: Sequence[int], outputs: Sequence[str], labels: bool = True, most_rows: int = MAX_BATCH_SIZE
) -> Config:
    """The fields of ModelConfig that differ from their defaults.

    Args:
        name: the model's name.
        versions: the versions to serve.
        outputs: names of the model's outputs: probabilities, and possibly lecture_output.
        labels: whether LABELS_FILE exists.
        most_rows: largest number of digits in one request.
    """
    probabilities: Config = {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]}
    if labels:
        probabilities["label_filename"] = LABELS_FILE
    return {
        "name": name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "default_model_filename": "model.onnx",
        "version_policy": {"specific": {"versions": list(versions)}},
        "max_batch_size": most_rows,
        "input": [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": [28, 28, 1]}],
        "output": [probabilities, *([LECTURE_OUTPUT] if LECTURE_OUTPUT["name"] in outputs else [])],
        "dynamic_batching": {},
    }


def complete(settings: Config, provider: str) -> Config:
    """The configuration with all default fields, as Triton's /v2/models/{model}/config returns it.

    Args:
        settings: the result of config().
        provider: "cpu" or "cuda".
    """
    group = {"name": settings["name"], "kind": "KIND_GPU" if provider == "cuda" else "KIND_CPU", "count": 1}
    return {
        **DEFAULTS,
        **settings,
        "input": [INPUT_DEFAULTS | one for one in settings["input"]],
        "output": [OUTPUT_DEFAULTS | one for one in settings["output"]],
        "dynamic_batching": BATCHING,
        "instance_group": [group | GROUP_DEFAULTS],
    }


def as_pbtxt(message: Config) -> str:
    """The message in the text format of Protocol Buffers."""
    return "\n".join(_lines(message)) + "\n"


def _lines(message: Config, indent: str = "") -> Iterator[str]:
    for key, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield f"{indent}{key} {{"
                yield from _lines(one, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {one if key == 'data_type' else json.dumps(one)}"
