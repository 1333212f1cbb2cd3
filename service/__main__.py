"""python -m service, and the command digits-serve: serves until a signal. `--help` lists every setting.

Everything is imported within the functions, so that the garbage collector is off meanwhile: see server/collector.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.server import collector

if TYPE_CHECKING:
    from fastapi import FastAPI


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal; `arguments` are those of the command line by default."""
    collector.pause()
    from service.start import start

    start(arguments)


def worker() -> FastAPI:
    """The application of one worker process."""
    collector.pause()
    from service.start import application

    return application()


if __name__ == "__main__":
    main()
