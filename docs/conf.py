"""How Sphinx builds docs/ into build/docs: `make docs`. It reads no network, and every warning is an error.

The reference is made from the source text by sphinx-autoapi. Nothing is imported, so TensorFlow need not be installed.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

project = "Digit Recognizer"
extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]
html_theme = "furo"
html_title = "Digit Recognizer"
html_copy_source = False
html_show_copyright = False
highlight_language = "none"
nitpicky = False  # types of numpy, FastAPI and Keras have no page here, and other sites are not asked

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# Links to files of the repository that are no pages: a page of the site says where they are
suppress_warnings = ["autoapi.python_import_resolution"]  # constants that are assigned several to a line

autoapi_dirs = ["../service", "../training"]
autoapi_root = "reference"
autoapi_options = ["members", "show-inheritance", "show-module-summary"]
autoapi_add_toctree_entry = False
autoapi_keep_files = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
ALIGNED = re.compile(r"\S {2,}\S|^\s*[├└]|^\s*python -m ")
MARKED = re.compile(r"``.+?``|`[^`]+`|[*|]|_(?=\W|$)")


def as_rst(lines: list[str]) -> list[str]:
    """One docstring, written as plain text with `code` in single backticks, as reStructuredText.

    Commands, tables and listings become literal blocks. Whatever reStructuredText would take for markup is escaped.
    """
    found: list[str] = []
    in_section = False
    for block in _blocks(lines):
        in_section = in_section and block[0].startswith(" ")
        if not in_section and _is_literal(block):
            found += ["::", "", *(f"    {line}" for line in block), ""]
            continue
        in_section = in_section or any(SECTION.match(line) for line in block)
        found += [*(MARKED.sub(_marked, line) for line in block), ""]
    return found


def _blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines between empty lines; a section's heading begins a run of its own."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            blocks.append([])
        else:
            blocks[-1].append(line)
    return [block for block in blocks if block]


def _is_literal(block: list[str]) -> bool:
    if SECTION.match(block[0]):
        return False
    return block[0].startswith("    ") or any(ALIGNED.search(line) for line in block)


def _marked(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("``"):
        return text
    return f"`{text}`" if text.startswith("`") else f"\\{text}"


def _process(_: Sphinx, __: str, ___: str, ____: Any, _____: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon, whose priority is 500
