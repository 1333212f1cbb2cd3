"""Makes ONNX Runtime's sessions: which execution provider, and with which options. It knows no digits."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import onnxruntime as ort

from service.errors import ModelBroken, ProviderUnavailable

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
CUDA_OPTIONS = {
    "use_tf32": "0",  # its ten bits of mantissa would not reproduce the CPU's answers to 1e-4
    "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all, anew for each size of batch that it meets
    "arena_extend_strategy": "kSameAsRequested",  # the default doubles, whatever was asked for
}
CUDA_LIBRARIES = "CUDA 13 and cuDNN 9"  # what onnxruntime-gpu 1.31 is built for: the extra `gpu` in pyproject.toml
CUDA_ADVICE = (
    f"install onnxruntime-gpu[cuda,cudnn] in place of onnxruntime, which brings {CUDA_LIBRARIES}, "
    "and an NVIDIA driver that supports them, or set DIGITS_PROVIDER=cpu"
)


def choose_provider(wanted: str, data: bytes) -> str:
    """Turn "auto" into "cuda" or "cpu" by trying; refuse "cuda" with advice where it does not work."""
    if wanted == "cpu" or (wanted == "auto" and PROVIDERS["cuda"] not in ort.get_available_providers()):
        return "cpu"
    if PROVIDERS["cuda"] not in ort.get_available_providers():
        raise ProviderUnavailable(f"This ONNX Runtime was built without CUDA: {CUDA_ADVICE}.")
    _load_cuda_libraries()
    # ONNX Runtime falls back to the CPU by itself, with a line on stderr, where the driver or a library is missing
    if PROVIDERS["cuda"] in make_session(data, "cuda", 1).get_providers():
        return "cuda"
    if wanted == "cuda":
        raise ProviderUnavailable(f"ONNX Runtime offers CUDA but cannot start it: {CUDA_ADVICE}.")
    return "cpu"


def _load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from wheels, if installed, where ONNX Runtime does not look by itself; else the system's."""
    with redirect_stdout(StringIO()):  # it prints what it does not find; our own message says what to do
        ort.preload_dlls()


def make_session(data: bytes, provider: str, threads: int) -> ort.InferenceSession:
    """A session of the bytes of an ONNX file that `check_graph` has accepted. Raises ModelBroken."""
    try:
        return ort.InferenceSession(data, _options(threads), providers=_providers(provider))
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types, all of which mean this
        raise ModelBroken("The model file is not an ONNX model that this ONNX Runtime can load.") from error


def _providers(provider: str) -> list[Any]:
    return [(PROVIDERS["cuda"], CUDA_OPTIONS), PROVIDERS["cpu"]] if provider == "cuda" else [PROVIDERS["cpu"]]


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # one is kept for each size of batch, and ours come in every size
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never its own format, which we do not check
    options.log_severity_level = 4  # our own message says what was wrong; its lines name paths
    return options
