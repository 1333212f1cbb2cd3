"""Text in base64 -> bytes, as TensorFlow Serving takes it: lines may be broken, and the padding may be missing."""

from __future__ import annotations

import base64

BLANKS = b" \t\r\n\v\f"


def from_base64(text: object) -> bytes:
    """Raises ValueError where it is something else."""
    if not isinstance(text, str):
        raise ValueError("no text")
    try:
        return base64.b64decode(text, validate=True)  # nearly always
    except ValueError:
        data = text.encode("ascii").translate(None, BLANKS)
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
