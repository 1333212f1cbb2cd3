"""multipart/form-data -> the files in it, in order."""

from __future__ import annotations

import asyncio

import pytest

from service.concurrency import WINDOW_BYTES
from service.errors import BadRequest, DigitsError, PayloadTooLarge, UnsupportedMediaType
from service.inputs.form import MAX_FIELDS, files_of
from tests.support.bodies import BOUNDARY, MULTIPART, as_multipart


def files(body: bytes, most: int = 3, kind: str = MULTIPART) -> list[bytes]:
    return asyncio.run(files_of(body, kind, most))


def test_files_come_in_order_and_other_fields_are_ignored() -> None:
    body = as_multipart([("b.png", b"two"), ("a.png", b"one"), ("b.png", b"")], fields=[("label", "3"), ("note", "x")])
    assert files(body) == [b"two", b"one", b""]


@pytest.mark.parametrize("content", [b"\r\n--", b"\0" * 3_000_000, b"--" + BOUNDARY.encode()[:-1], bytes(range(256))])
def test_any_content_comes_back_as_it_was(content: bytes) -> None:
    assert files(as_multipart([("a.png", content), ("b.png", b"next")])) == [content, b"next"]


@pytest.mark.parametrize(
    "kind", [f'multipart/form-data; boundary="{BOUNDARY}"', f"Multipart/Form-Data; charset=utf-8; boundary={BOUNDARY}"]
)
def test_the_boundary_is_found_however_it_is_written(kind: str) -> None:
    assert files(as_multipart([("a.png", b"one")]), kind=kind) == [b"one"]


GOOD = as_multipart([("a.png", b"one")])
BAD: dict[str, tuple[bytes, str, type[DigitsError], str]] = {
    "no boundary": (GOOD, "multipart/form-data", BadRequest, "boundary"),
    "an empty boundary": (GOOD, "multipart/form-data; boundary=", BadRequest, "boundary"),
    "another boundary": (GOOD, "multipart/form-data; boundary=other", BadRequest, "boundary"),
    "no end": (as_multipart([("a.png", b"one")], end=False), MULTIPART, BadRequest, "closing boundary"),
    "no files": (as_multipart([], fields=[("file", "text")]), MULTIPART, BadRequest, "no file"),
    "not multipart": (b"--" + BOUNDARY.encode() + b"--", MULTIPART, BadRequest, "multipart body"),
    "no header": (GOOD.replace(b"Content-Disposition", b"X"), MULTIPART, BadRequest, "multipart body"),
    "too many files": (as_multipart([("a.png", b"")] * 4), MULTIPART, PayloadTooLarge, "Too many files"),
    "too many fields": (
        as_multipart([("a.png", b"")], fields=[("a", "")] * (MAX_FIELDS + 1)),
        MULTIPART,
        PayloadTooLarge,
        "Too many fields",
    ),
    "a large field": (
        as_multipart([("a.png", b"")], fields=[("a", "x" * 2_000_000)]),
        MULTIPART,
        PayloadTooLarge,
        "form field has more",
    ),
}


BAD |= {
    f"charset {name}": (GOOD, f"{MULTIPART}; charset={name}", UnsupportedMediaType, "charset")
    for name in ("punycode", "undefined", "idna", "utf-7", "utf-16", "unicode_escape", "zip", "x")
}
BAD |= {
    "a long Content-Type": (GOOD, MULTIPART + ';"' * 30_000, BadRequest, "boundary"),
    "a long head": (GOOD.replace(b"filename", b";" * 5000 + b"filename"), MULTIPART, BadRequest, "a head"),
    "a part that begins with no line end": (GOOD.replace(b"\r\n", b":\r\n", 1), MULTIPART, BadRequest, "a head"),
    "a boundary within a part": (
        as_multipart([("a.png", b"\r\n--" + BOUNDARY.encode() + b"x")]),
        MULTIPART,
        BadRequest,
        "a head",
    ),
}


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "latin-1", "iso-8859-1", '"utf-8"'])
def test_charsets_that_are_taken(charset: str) -> None:
    assert files(GOOD, kind=f"{MULTIPART}; charset={charset}") == [b"one"]


@pytest.mark.parametrize("at", range(-20, 20))
def test_a_boundary_is_found_across_windows(at: int) -> None:
    content = bytes(WINDOW_BYTES + at)
    assert files(as_multipart([("a.png", content), ("b.png", b"next")])) == [content, b"next"]


@pytest.mark.parametrize(("body", "kind", "error", "says"), BAD.values(), ids=BAD)
def test_what_is_rejected(body: bytes, kind: str, error: type[DigitsError], says: str) -> None:
    with pytest.raises(error, match=says):
        files(body, kind=kind)


def test_as_many_files_as_allowed() -> None:
    assert len(files(as_multipart([("a.png", b"x")] * 3))) == 3
