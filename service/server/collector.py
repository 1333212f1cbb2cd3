"""Python's garbage collector, as a service wants it: off while it starts, seldom afterwards.

What imports create lives as long as the process. To look through it again and again is a sixth of the start-up time.
"""

from __future__ import annotations

import gc

THRESHOLDS = 100_000, 20, 100  # Python's own are 700, 10, 10


def pause() -> None:
    """Off, until `resume_seldom`."""
    gc.disable()


def resume_seldom() -> None:
    """On, for requests: they create short-lived objects by the thousand and hardly a reference cycle.

    What exists by now is never looked at again. A hundredth of it is garbage, 0.2 MB; to find that would take 50 ms.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
