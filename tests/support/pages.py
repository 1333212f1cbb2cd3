"""The pages of the documentation, for tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

LESSONS = sorted((Path(__file__).parents[2] / "docs" / "lecture").glob("*.md"))  # run by tests/lecture/test_pages.py
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # a block: its language and its text
