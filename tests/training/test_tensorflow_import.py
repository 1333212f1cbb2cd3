"""TensorFlow's start-up messages are hidden, unless the import fails."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from training.tensorflow_import import load_tensorflow
load_tensorflow()
import os
os.write(2, b"shown")
"""


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n{program}"]
    return subprocess.run(command, capture_output=True, text=True)


def imitation(folder: Path, last_line: str) -> None:
    """A package named tensorflow that writes to file descriptor 2 as TensorFlow's C++ code does."""
    (folder / "tensorflow.py").write_text(
        f"import os\nos.write(2, b'no GPU was found')\nclass config:\n"
        f"    list_physical_devices = staticmethod(lambda: [])\n{last_line}\n"
    )


def test_messages_are_hidden_and_standard_error_works_again(tmp_path: Path) -> None:
    imitation(tmp_path, "")
    done = run(tmp_path, PROGRAM)
    assert (done.returncode, done.stderr) == (0, "shown")


def test_messages_of_a_failed_import_are_shown(tmp_path: Path) -> None:
    imitation(tmp_path, "raise ImportError('libcudart is missing')")
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 1
    assert done.stderr.startswith("no GPU was found")
    assert "libcudart is missing" in done.stderr
