"""Content negotiation by the Accept header and its q-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
    """Media ranges in descending order of q; equals in their order in the header; q=0 excluded."""
    ranges = []
    for place, item in enumerate(accept.lower().split(",")):
        name, *parameters = [part.strip() for part in item.split(";")]
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        q = float(quality) if quality.replace(".", "", 1).isdigit() else 0.0
        if q > 0:
            ranges.append((-q, place, name))
    return (name for _, _, name in sorted(ranges))
