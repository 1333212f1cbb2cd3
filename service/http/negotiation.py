"""Content negotiation by the Accept header and its q-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_RANGES = 50  # more are not looked at; browsers send up to ten


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that `accept` ranks highest; the first one if it names none of them.

    Args:
        accept: the header's value; several headers joined by commas.
        offered: media types in lower case; the first is the default, for */* too.
    """
    for wanted in _ranked(accept):
        for kind in offered:
            if wanted in (kind, "*/*", f"{kind.partition('/')[0]}/*"):
                return kind
    return offered[0]


def _ranked(accept: str) -> Iterable[str]:
    """The first MAX_RANGES media ranges in descending order of q; equals as they stand in the header; q=0 excluded."""
    ranges = []
    for place, item in enumerate(accept.lower().split(",", MAX_RANGES)[:MAX_RANGES]):
        name, *parameters = [part.strip() for part in item.split(";", MAX_RANGES)]
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        q = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
        if q > 0:
            ranges.append((-q, place, name))
    return (name for _, _, name in sorted(ranges))
