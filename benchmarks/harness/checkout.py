"""The service of any checkout of this repository, such as an older commit, started by itself on one core."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def service(root: Path, settings: Mapping[str, str], core: int = 0) -> Iterator[tuple[str, int]]:
    """A running service: its address and its process.

    Args:
        root: the checkout; it runs with this one's Python and models.
        core: the CPU that it is pinned to.
        settings: without their prefix DIGITS_; others of the environment do not count.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PORT": "0", "MODELS_DIR": f"{ROOT / 'models'}", "FEEDBACK_PATH": f"{folder}/f.sqlite", **settings}
        environ |= {f"DIGITS_{name}": value for name, value in settings.items()}
        command = ["taskset", "-c", str(core), sys.executable, "-m", "service"]
        with subprocess.Popen(command, cwd=root, env=environ, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr
            url = next(found[0] for line in running.stderr if (found := re.search(r"http://\S+:\d+", line)))
            threading.Thread(target=running.stderr.read, daemon=True).start()
            try:
                yield url, running.pid
            finally:
                running.terminate()
