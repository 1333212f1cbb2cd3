"""Answers to bytes that never become a request: a status, a sentence, and the connection is closed."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from service import problems
from service.errors import BadRequest


class Rejection(NamedTuple):
    """A status, the sentence that says what was wrong and what to do, and headers that such an answer needs."""

    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def error(self) -> Rejected:
        """What is raised while the head is parsed."""
        return Rejected(self)

    def body_error(self) -> BadRequest:
        """What the handler of the request gets that reads a malformed body."""
        error = BadRequest(self.detail)
        error.status = self.status
        return error

    def response(self, path: bytes, request_id: bytes = b"", with_body: bool = True) -> bytes:
        """Head and body of the answer.

        Args:
            path: decides the form of the body; empty where it is not known yet.
            request_id: for the caller to report; none if empty.
            with_body: False for a HEAD request, whose answer has only a head.
        """
        media_type, body = problems.document(path.decode("latin-1"), self.status, self.detail)
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"content-type: {media_type}", f"content-length: {len(body)}", "connection: close"]
        lines.append("x-content-type-options: nosniff")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if request_id:
            lines.append(f"x-request-id: {request_id.decode()}")
        return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")


class Rejected(Exception):
    """Raised while a head is parsed, where it must be refused."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


NOT_HTTP = Rejection(
    400, "This is not an HTTP/1.1 request; check the method, the headers, and Content-Length or the chunks."
)
INTERNAL_ERROR = Rejection(500, problems.INTERNAL_ERROR)
