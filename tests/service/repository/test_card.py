"""Cards: what is read can be written back as JSON, whatever stands in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ModelBroken
from service.repository.card import parse_card
from service.repository.repository import Repository
from tests.support.asgi import call
from tests.support.models import publish

ODD = {
    "a lone surrogate": rb'{"summary": "\ud800"}',
    "a lone surrogate in a name": rb'{"\udfff": 1}',
    "a lone surrogate, deep inside": rb'{"a": [{"b": ["\ud83d"]}]}',
    "NaN": b'{"accuracy": NaN}',
    "infinity": b'{"accuracy": -Infinity}',
    "a number that is infinity": b'{"accuracy": 1e999}',
    "an integer over 64 bits": b'{"parameters": 18446744073709551616}',
    "an integer of 5,000 digits": b'{"parameters": ' + b"9" * 5000 + b"}",
    "300 levels": b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
    "100,000 levels": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a name twice": b'{"sha256": "a", "sha256": "b"}',
    "a name twice, inside": b'{"data": {"rows": 1, "rows": 2}}',
    "a list": b"[]",
    "a number": b"1",
    "nothing": b"",
    "text behind": b"{} {}",
    "bytes that are not UTF-8": b'{"a": "\xff"}',
    "UTF-8 of a surrogate": b'{"a": "\xed\xa0\x80"}',
    "a control character": b'{"a": "\x01"}',
}


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_written_back_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_card(ODD[what])


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_json_can_say_is_read_as_it_was_written(card: dict[str, Any]) -> None:
    found = parse_card(json.dumps(card).encode())
    assert found == card
    assert orjson.loads(orjson.dumps(found)) == card
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        orjson.dumps(parse_card(b'{"a": ' + data + b"}"))
    except ValueError as error:
        assert not isinstance(error, UnicodeEncodeError)  # noqa: PT017 - either is fine, another exception is not


@pytest.mark.parametrize("what", ODD)
def test_a_version_with_such_a_card_is_broken_and_says_so_in_one_sentence(tmp_path: Path, what: str) -> None:
    publish(tmp_path)
    (tmp_path / "digits/1/card.json").write_bytes(ODD[what])
    repository = Repository(tmp_path)
    for read in (repository.card, repository.model_bytes):
        with pytest.raises(ModelBroken) as caught:
            read("digits", 1)
        assert str(caught.value).startswith("The card.json of digits version 1 cannot be read: ")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
        str(caught.value).encode()


@pytest.mark.parametrize(
    "what", ["a lone surrogate", "300 levels", "an integer over 64 bits", "a number that is infinity"]
)
def test_over_http_it_is_a_sentence_too(models_dir: Path, app: Any, what: str) -> None:
    path = models_dir / "shifted/1/card.json"
    whole = path.read_bytes()
    try:
        path.write_bytes(
            whole[:-2].rstrip().removesuffix(b"}") + b', "more": ' + ODD[what][ODD[what].index(b":") + 1 :]
        )
        answer = call(app, "GET", "/models/shifted/versions/1")
    finally:
        path.write_bytes(whole)
    assert answer.status == 409
    assert b"cannot be read" in answer.body
