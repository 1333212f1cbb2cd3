"""Changes at random: of bytes, and of JSON documents by their structure. The same Random makes the same changes."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\\u",
    b"\xed\xa0\x80",
    b"--",
]
PIECES += [b"0", b"-", b"1e", b"1e400", b"255", b"256", b"9" * 30, b"NaN", b"null", b"true", b"\xef\xbb\xbf", b"%00"]
NUMBERS = [0, 1, -1, 9, 10, 27, 28, 29, 255, 256, 783, 784, 785, 2**15, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64]
ODD: list[Any] = [
    *NUMBERS,
    None,
    True,
    False,
    0.5,
    -0.5,
    1e308,
    10**40,
    "",
    "0",
    "a",
    "pixels",
    "\0",
    "\ud800",
    "é" * 300,
]
ODD += [[], {}, [[]], [None], {"": ""}, {"b64": ""}, {"b64": "!"}, [[[[[[0]]]]]], "x" * 5000, ["a"] * 30, [0] * 784]
LARGEST = 400_000


def changed(dice: Random, data: bytes, times: int) -> bytes:
    """`data` with so many changes: bits, bytes, pieces put in, taken out, repeated or moved, a new end."""
    found = bytearray(data)
    for _ in range(times):
        place, length = dice.randrange(len(found) + 1), dice.choice((1, 1, 2, 4, 16, 200))
        match dice.randrange(8):
            case 0 if place < len(found):
                found[place] ^= 1 << dice.randrange(8)
            case 1 if place < len(found):
                found[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            case 2:
                found[place:place] = dice.choice(PIECES)
            case 3:
                del found[place : place + length]
            case 4 if len(found) < LARGEST:
                found[place:place] = found[place : place + length] * dice.choice((1, 2, 100))
            case 5:
                other = dice.randrange(len(found) + 1)
                found[place : place + length] = found[other : other + length]
            case 6:
                del found[place:]
            case _:
                found[place : place + length] = dice.randbytes(length)
    return bytes(found)


def odd(dice: Random) -> Any:
    """A JSON value that few expect."""
    return copy.deepcopy(dice.choice(ODD))


def changed_document(dice: Random, document: Any, times: int) -> Any:
    """A JSON document with so many changes: values replaced, left out, repeated, put one level deeper, keys renamed."""
    found = copy.deepcopy(document)
    for _ in range(times):
        parents = [value for value in _inner(found) if value]
        if not parents:
            return odd(dice)
        parent = dice.choice(parents)
        key = dice.choice(list(parent)) if isinstance(parent, dict) else dice.randrange(len(parent))
        match dice.randrange(6):
            case 0 | 1:
                parent[key] = odd(dice)
            case 2:
                del parent[key]
            case 3:
                parent[key] = dice.choice(([parent[key]], {"x": parent[key]}, [parent[key]] * 3))
            case 4 if isinstance(parent, dict):
                parent[str(odd(dice))] = parent.pop(key)
            case _:
                other = dice.choice(parents)
                parent[key] = copy.deepcopy(other)
    return found


def written(dice: Random, document: Any) -> bytes:
    """The document as JSON of some style, now and then with a name twice or changed bytes."""
    text = json.dumps(document, ensure_ascii=dice.random() < 0.7, indent=dice.choice((None, None, None, 1)))
    data = text.encode("utf-8", "surrogatepass")
    if data.startswith(b"{") and len(data) > 2 and dice.random() < 0.1:
        data = data[:-1] + b"," + data[1:]
    return changed(dice, data, dice.choice((0, 0, 0, 0, 1, 2)))


def _inner(value: Any) -> list[Any]:
    """The objects and the lists in a value, itself too. Of long lists the first entries stand for the others."""
    if not isinstance(value, dict | list):
        return []
    entries = list(value.values()) if isinstance(value, dict) else value
    return [value, *(inner for entry in entries[:30] for inner in _inner(entry))]
