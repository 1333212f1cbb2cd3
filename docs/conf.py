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
nitpicky = False  # types of numpy, FastAPI and Keras have no page here, and other sites are not contacted
smartquotes = False  # --models-dir is an option, not a dash

exclude_patterns = ["fault-test.md"]  # part of faults.md
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["autoapi.python_import_resolution"]  # constants that are assigned several to a line

autoapi_dirs = ["../service", "../training"]
autoapi_root = "reference"
autoapi_options = ["members", "show-inheritance", "show-module-summary"]
autoapi_add_toctree_entry = False
autoapi_keep_files = False  # docs/reference exists during a build only
napoleon_numpy_docstring = False
napoleon_use_ivar = True

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
ALIGNED = re.compile(r"\S {2,}\S|^\s*[├└]|^\s*python -m ")
FIRST_WITH: dict[str, str] = {}  # docstring -> the first exception that has it
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


def _process(_: Sphinx, kind: str, name: str, __: Any, ___: Any, lines: list[str]) -> None:
    text = "\n".join(lines)
    if kind == "exception" and FIRST_WITH.setdefault(text, name) != name:
        text = ""  # autoapi shows a base class's docstring where a class has none: false for these
    lines[:] = as_rst(text.splitlines())


def _skip(_: Sphinx, kind: str, name: str, found: Any, skip: bool, __: Any) -> bool | None:
    """Leaves out what pydantic adds: its models' configuration, and the long signature of its settings."""
    if kind == "class" and found.constructor and found.constructor.inherited:
        found.constructor.obj["args"] = []
    return True if name.endswith(".model_config") else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon, whose priority is 500
    app.connect("autoapi-skip-member", _skip)
