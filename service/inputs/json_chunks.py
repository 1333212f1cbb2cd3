"""Bounded JSON parsing, in chunks: memory is proportional to the text, and long lists do not block the event loop.

A list may be cut at any comma: if every chunk in brackets is JSON, then so is the whole list, with the same values. If
a chunk is not, either the text is not JSON, and parsing the chunk tells where; or a cut was inside an element, and the
whole text is parsed at once.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from service.errors import BadRequest, PayloadTooLarge

PIECE_BYTES = 64 * 1024
HARMLESS_BYTES = 4 * PIECE_BYTES  # shorter texts are parsed whatever they contain
ELEMENT_BYTES = 2**20  # no digit is longer, in whatever notation
MOST_BYTES = 2**23  # of a text that is parsed at once: 30 ms, whatever it holds
MOST_VALUES = 2**18  # of such a text: 334 digits
BLOCK_BYTES = 2**20
OPENINGS = (b"[", b"{", b'"')
MOST_BLANKS = 1024  # at the start of a list
PLACEHOLDER = secrets.token_hex(16)  # replaces a list that was cut out; random, so that no request contains it

SPACE = rb"[ \t\r\n]*"  # JSON's own whitespace; \s would match form feeds too
MOST_AXES = 4
OPENING = re.compile(rb"(?:_\[){0,%d}(_\{)?".replace(b"_", SPACE) % MOST_AXES)
BETWEEN = [re.compile((rb"\]_" * axes + rb"," + rb"(?=_\[)" * bool(axes)).replace(b"_", SPACE)) for axes in range(5)]
BETWEEN_OBJECTS = re.compile(rb"\}_,(?=_\{)".replace(b"_", SPACE))


def loads(text: bytes, advice: str = "") -> Any:
    """Parsed JSON.

    Args:
        text: the body.
        advice: a sentence, after a space, to add to error messages.

    Raises:
        BadRequest: not JSON, or thousands of tiny values.
        PayloadTooLarge: more than may be parsed at once, because that blocks all other requests.
    """
    if len(text) > HARMLESS_BYTES:
        check_size(len(text))
        _check_values(text, advice)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.{advice}") from None


def check_size(size: int) -> None:
    """Raise PayloadTooLarge for a text that is too long to be parsed at once."""
    if size > MOST_BYTES:
        raise PayloadTooLarge(
            f"The JSON has over {MOST_BYTES:,} bytes, and not in a plain list of digits that ends where it should. "
            f"Send the list alone, and pictures as files or in several requests."
        )


class ChunkedList:
    """A list in a JSON text, parsed chunk by chunk.

    Args:
        text: the JSON text.
        start, end: positions of the content between the brackets of the list.
        advice: as for `loads`.
    """

    def __init__(self, text: bytes, start: int, end: int, advice: str = "") -> None:
        self.text, self.start, self.end = text, start, end
        self._advice = advice

    def rest(self) -> bytes:
        """The text with the string PLACEHOLDER in place of the list. Raises PayloadTooLarge if it is too long."""
        check_size(self.start + len(self.text) - self.end)
        return b'%b"%b"%b' % (self.text[: self.start - 1], PLACEHOLDER.encode(), self.text[self.end + 1 :])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Start and end of each chunk, about 64 KiB: cut between two elements of the form of the chunk's first element.

        Raises BadRequest if an element is longer than ELEMENT_BYTES.
        """
        at = self.start
        while at + PIECE_BYTES < self.end:
            found = self._boundary(at).search(self.text, at + PIECE_BYTES, min(at + ELEMENT_BYTES, self.end))
            if found is None:
                break
            yield at, found.end() - 1
            at = found.end()
        if self.end - at > ELEMENT_BYTES and self.text.find(b'"', at, self.end) < 0:
            raise BadRequest(f"The JSON holds a list, or a number, longer than any digit.{self._advice}")
        yield at, self.end

    def elements(self, start: int, end: int) -> list[Any]:
        """The elements of one chunk; empty if a cut was inside one. Raises BadRequest if the text is not JSON."""
        check_size(end - start)
        try:
            found: list[Any] = loads(b"[%b]" % self.text[start:end])
        except BadRequest:
            if end - start <= ELEMENT_BYTES:  # else parsing it a third time, with the whole text, tells it
                self._check(start, end)
            return []
        return found

    def _boundary(self, start: int) -> re.Pattern[bytes]:
        opening = OPENING.match(self.text, start, start + MOST_BLANKS)
        assert opening
        axes = opening[0].count(b"[")
        return BETWEEN_OBJECTS if opening[1] and not axes else BETWEEN[axes]

    def _check(self, start: int, end: int) -> None:
        """Parse the chunk and some text after it, with 0 for the elements before: its errors are those of the whole."""
        before = self.text[: self.start] + (b"0," if start > self.start else b"")
        piece = before + self.text[start : end + PIECE_BYTES]
        try:
            orjson.loads(piece)
        except orjson.JSONDecodeError as error:
            if (
                len(before) <= error.pos < len(piece)
            ):  # an error at the end is due to the cut; position 0 means invalid UTF-8
                place = self._place(error.msg, error.pos + start - len(before))
                raise BadRequest(f"The body is not JSON: {place}.{self._advice}") from None

    def _place(self, what: str, at: int) -> str:
        """The message that orjson gives for the whole text."""
        line, column = self.text.count(b"\n", 0, at) + 1, at - self.text.rfind(b"\n", 0, at)
        return f"{what}: line {line} column {column} (char {at})"


def _check_values(text: bytes, advice: str) -> None:
    """Digits have at most one bracket per 52 bytes; denser text would become Python objects of 50 times its size."""
    values = 0
    for start in range(0, len(text), BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, len(text))
        values += text.count(b",", start, end)
        if sum(text.count(opening, start, end) for opening in OPENINGS) > 100 + (end - start) // 40:
            raise BadRequest(f"The JSON holds thousands of tiny lists, objects or texts, not digits.{advice}")
        if values > MOST_VALUES:
            raise PayloadTooLarge(
                f"The JSON has over {MOST_VALUES:,} numbers, and not in a plain list of digits that ends where it "
                f"should. Send fewer digits, or the list alone."
            )
