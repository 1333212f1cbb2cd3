"""Removes from a virtual environment what the service never loads: a third of its files.

python deploy/image/slim.py /opt/venv
"""

import shutil
import subprocess
import sys
from pathlib import Path

GONE = [
    "onnxruntime/transformers",  # tools that rewrite models
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "onnxruntime/backend",
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",  # service-gpu: CUDA alone is used
    "flatbuffers*",  # what those tools want
    "numpy/f2py",
    "numpy/distutils",
    "numpy/testing/tests",
    "numpy/**/tests",
    "numpy/_core/include",
    "numpy/_core/lib",
    "PIL/_avif*",  # formats and features that are not read here
    "pillow.libs/libavif*",
    "PIL/_imagingft*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
    "uvloop/**/*.pyx",
    "uvloop/**/*.pxd",
    "httptools/**/*.pyx",
    "httptools/**/*.pxd",
    "simdjson/*.pyx",
    "simdjson/*.pxd",
    "simdjson/*.cpp",
    "**/*.pyi",
    "**/*.c",
    "**/*.h",
    "../../../bin/[!pP]*",  # console scripts and activation
]

DEBUGGED = [  # wheels that come with their debug symbols: 12 of uvloop's 13 MB
    "uvloop/*.so",
    "httptools/**/*.so",
    "PIL/*.so",
    "csimdjson*.so",
]

packages = next(Path(sys.argv[1]).glob("lib/python3*/site-packages"))
for pattern in GONE:
    for path in sorted(packages.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
debugged = [path for pattern in DEBUGGED for path in packages.glob(pattern)]
if debugged and shutil.which("strip"):
    subprocess.run(["strip", "--strip-unneeded", *debugged], check=True)
