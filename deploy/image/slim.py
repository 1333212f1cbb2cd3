"""Removes files that the service never loads from a virtual environment: a third of all.

python deploy/image/slim.py /opt/venv
"""

import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = [
    "onnxruntime/transformers",  # tools that rewrite models
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "onnxruntime/backend",
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",  # service-gpu uses CUDA only
    "flatbuffers*",  # needed by those tools only
    "numpy/f2py",
    "numpy/distutils",
    "numpy/testing/tests",
    "numpy/**/tests",
    "numpy/_core/include",
    "numpy/_core/lib",
    "PIL/_avif*",  # formats and features that the service does not use
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
    "../../../bin/[!pP]*",  # console scripts and activation scripts, except pip and Python
]

WITH_SYMBOLS = [  # these wheels contain debug symbols: 12 of uvloop's 13 MB
    "uvloop/*.so",
    "httptools/**/*.so",
    "PIL/*.so",
    "csimdjson*.so",
]

packages = next(Path(sys.argv[1]).glob("lib/python3*/site-packages"))
for pattern in UNUSED:
    for path in sorted(packages.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
libraries = [path for pattern in WITH_SYMBOLS for path in packages.glob(pattern)]
if libraries and shutil.which("strip"):
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)
