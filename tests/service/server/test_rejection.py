"""What is answered to bytes that never become a request: the same documents as everywhere else."""

from __future__ import annotations

import json

import pytest

from service.server.limits import HEAD_TOO_LARGE, HEAD_TOO_SLOW
from service.server.rejection import INTERNAL_ERROR, NOT_HTTP, Rejection

ALL = [NOT_HTTP, INTERNAL_ERROR, HEAD_TOO_LARGE, HEAD_TOO_SLOW]


@pytest.mark.parametrize("rejection", ALL)
@pytest.mark.parametrize(
    ("path", "kind", "key"),
    [
        (b"", "application/problem+json", "detail"),
        (b"/predict", "application/problem+json", "detail"),
        (b"/\xff", "application/problem+json", "detail"),
        (b"/v1/models/digits:predict", "application/json", "error"),
        (b"/v2", "application/json", "error"),
    ],
)
def test_a_whole_response(rejection: Rejection, path: bytes, kind: str, key: str) -> None:
    head, _, body = rejection.response(path).partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    assert line.startswith(f"HTTP/1.1 {rejection.status} ")
    assert lines[:3] == [f"content-type: {kind}", f"content-length: {len(body)}", "connection: close"]
    assert lines[3:] == ["x-content-type-options: nosniff"]
    assert json.loads(body)[key] == rejection.detail
