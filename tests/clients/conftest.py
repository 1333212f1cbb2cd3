"""`make client-test`. No other run collects these tests."""

from __future__ import annotations

import os

if not os.environ.get("CLIENT_TEST"):
    collect_ignore_glob = ["test_*.py"]
