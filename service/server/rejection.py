"""Answers to bytes that never become a request: a status, a sentence, and the connection is closed."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from service import problems


class Rejection(NamedTuple):
    """A status and the sentence that says what was wrong and what to do."""

    status: int
    detail: str

    def response(self, path: bytes) -> bytes:
        """Head and body, in the form that callers of this path expect; the path is empty where it is not known yet."""
        media_type, body = problems.document(path.decode("latin-1"), self.status, self.detail)
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + body


NOT_HTTP = Rejection(
    400, "This is no HTTP/1.1 request; check its method, its headers, and its Content-Length or its chunks."
)
INTERNAL_ERROR = Rejection(500, "Something went wrong here, not in your request. Try again.")
