"""The pages of docs/lecture/ run: below each block of code stands what it prints, and the pictures are up to date."""

from __future__ import annotations

import contextlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.pages import FENCE, LESSONS


@pytest.mark.slow
@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_a_page_prints_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "lesson"}
    blocks = FENCE.findall(page.read_text())
    for (language, code), (below, text) in pairwise([*blocks, ("", "")]):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        assert printed.getvalue() == (text if below == "text" else "")
    for drawn in tmp_path.glob("*.png"):
        shown, now = (np.asarray(Image.open(file).convert("L"), float) for file in (page.parent / drawn.name, drawn))
        assert shown.shape == now.shape
        assert np.abs(shown - now).mean() < 1, f"{drawn.name} has changed: draw it again"
