"""Which of the types that we have a caller wants most: the Accept header, by its q-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that `accept` ranks highest; the first one offered where it says nothing of any.

    Args:
        accept: the header's value; several headers joined by commas.
        offered: lower case, the usual one first: it is what */* means.
    """
    for wanted in _ranked(accept):
        for kind in offered:
            if wanted in (kind, "*/*", f"{kind.partition('/')[0]}/*"):
                return kind
    return offered[0]


def _ranked(accept: str) -> Iterable[str]:
    """Media ranges, those with the highest q first; of equals as they came. What has q=0 is not wanted."""
    ranges = []
    for place, item in enumerate(accept.lower().split(",")):
        name, *parameters = [part.strip() for part in item.split(";")]
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        q = float(quality) if quality.replace(".", "", 1).isdigit() else 0.0
        if q > 0:
            ranges.append((-q, place, name))
    return (name for _, _, name in sorted(ranges))
