"""The text of a JSON request -> Python objects, never many more than the text is long; a long list piece by piece.

A cut between two pieces is safe wherever it is made: if every piece, in brackets, is JSON, then so is the whole list,
and with the same values. Where one is not, either the text is none, and the piece says where; or the cut was wrong, and
all is parsed in one go.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from service.errors import BadRequest, PayloadTooLarge

PIECE_BYTES = 64 * 1024
HARMLESS_BYTES = 4 * PIECE_BYTES  # whatever they hold
ELEMENT_BYTES = 2**20  # no digit is longer, however it is written
MOST_VALUES = 2**23
BLOCK_BYTES = 2**20
CRUMBS = (b"[", b"{", b'"')
PLACEHOLDER = secrets.token_hex(16)  # stands in the text where a list was: nobody can send it by chance or by intent

SPACE = rb"[ \t\r\n]*"  # JSON's own; \s would let form feeds through
MOST_AXES = 4
OPENING = re.compile(rb"(?:_\[){0,%d}(_\{)?".replace(b"_", SPACE) % MOST_AXES)
BETWEEN = [re.compile((rb"\]_" * axes + rb"," + rb"(?=_\[)" * bool(axes)).replace(b"_", SPACE)) for axes in range(5)]
BETWEEN_OBJECTS = re.compile(rb"\}_,(?=_\{)".replace(b"_", SPACE))


def loads(text: bytes, advice: str = "") -> Any:
    """Parsed JSON.

    Args:
        text: as it came.
        advice: a sentence, behind a space, for who sent something else.

    Raises:
        BadRequest: it is none, or all crumbs.
        PayloadTooLarge: it holds more than may be parsed in one go, while all others wait.
    """
    if len(text) > HARMLESS_BYTES:
        if _is_of_crumbs(text):
            raise BadRequest(f"The JSON holds thousands of tiny lists, objects or texts, not digits.{advice}")
        if text.count(b",") > MOST_VALUES:
            raise PayloadTooLarge(
                f"The JSON has over {MOST_VALUES:,} numbers, and not in a plain list of digits that ends where it "
                f"should. Send fewer digits, or the list alone."
            )
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.{advice}") from None


class ChunkedList:
    """A list that is cut out of a text, for its pieces to be parsed one by one.

    Args:
        text: JSON.
        start, end: of what stands between the brackets of the list.
        advice: as for `loads`.
    """

    def __init__(self, text: bytes, start: int, end: int, advice: str = "") -> None:
        self.text, self.start, self.end = text, start, end
        self._advice = advice

    def rest(self) -> bytes:
        """The text with PLACEHOLDER in place of the list."""
        return b'%b"%b"%b' % (self.text[: self.start - 1], PLACEHOLDER.encode(), self.text[self.end + 1 :])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Where the pieces lie, about 64 KiB each: between two elements like the first one of the piece.

        Raises BadRequest where an element is longer than any digit or its numbers could be.
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
        """What stands in one of the places; nothing where the cut was wrong. Raises BadRequest where it is no JSON."""
        try:
            found: list[Any] = loads(b"[%b]" % self.text[start:end])
        except BadRequest:
            self._check(start, end)
            return []
        return found

    def _boundary(self, start: int) -> re.Pattern[bytes]:
        opening = OPENING.match(self.text, start)
        assert opening
        axes = opening[0].count(b"[")
        return BETWEEN_OBJECTS if opening[1] and not axes else BETWEEN[axes]

    def _check(self, start: int, end: int) -> None:
        """Parse from the piece to a little behind it, as if a 0 stood before: what fails there, fails in the whole."""
        before = self.text[: self.start] + (b"0," if start > self.start else b"")
        piece = before + self.text[start : end + PIECE_BYTES]
        try:
            orjson.loads(piece)
        except orjson.JSONDecodeError as error:
            if len(before) <= error.pos < len(piece):  # not at its end, nor 0, which means a byte that is no UTF-8
                said = self._said(error.msg, error.pos + start - len(before))
                raise BadRequest(f"The body is not JSON: {said}.{self._advice}") from None

    def _said(self, what: str, at: int) -> str:
        """As orjson says it of the whole text."""
        line, column = self.text.count(b"\n", 0, at) + 1, at - self.text.rfind(b"\n", 0, at)
        return f"{what}: line {line} column {column} (char {at})"


def _is_of_crumbs(text: bytes) -> bool:
    """Digits have a bracket for every 52 bytes or more; anything denser would take up fifty times its size."""
    for start in range(0, len(text), BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, len(text))
        if sum(text.count(crumb, start, end) for crumb in CRUMBS) > 100 + (end - start) // 40:
            return True
    return False
