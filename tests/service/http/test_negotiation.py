"""Content negotiation: the Accept header's ranking decides, and the first offered type is the default."""

from __future__ import annotations

import pytest

from service.http.negotiation import preferred

OFFERED = ("application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, application/json", "text/csv"),  # equal q: the order of the header
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("text/csv ; charset=utf-8 ; q=0.9, application/json;q=0.8", "text/csv"),
        ("text/csv;q=0", "application/json"),
        ("*/*, text/csv;q=0.9", "application/json"),
        ("text/html, text/csv;q=0.1", "text/csv"),
        ("image/png", "application/json"),  # nothing offered: the default
        ("text/csv;q=x", "application/json"),  # not a number: not acceptable
        ("text/csv;q=", "application/json"),
        ("text/csv;q=1.2.3", "application/json"),
        ("text/csv;q=-1", "application/json"),
        (",,;;q,/,*", "application/json"),
        ("text", "application/json"),
        ("text/csv;q=\u00b2", "application/json"),  # a digit to str.isdigit, and no number to float
        ("a/b," * 49 + "text/csv", "text/csv"),
        ("a/b," * 50 + "text/csv", "application/json"),  # not looked at
    ],
)
def test_the_highest_ranked_offered_type(accept: str, expected: str) -> None:
    assert preferred(accept, OFFERED) == expected
