"""Only `make ray-test` collects these tests: Ray is not installed with the others."""

from __future__ import annotations

import os

if not os.environ.get("RAY_TEST"):
    collect_ignore_glob = ["test_*.py"]
