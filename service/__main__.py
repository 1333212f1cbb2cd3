"""python -m service, and the command digits-serve: serves until a signal. `--help` lists every setting.

Everything is imported within the functions, so that the garbage collector is off meanwhile: see server/collector.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.server import collector

if TYPE_CHECKING:
    import socket


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal; `arguments` are those of the command line by default."""
    collector.pause()
    from service.start import start

    start(arguments)


def worker(listeners: list[socket.socket], pipe: socket.socket) -> None:
    """Serve in one worker process; the supervisor has bound the listeners and holds the other end of the pipe."""
    collector.pause()
    from service.start import work

    work(listeners, pipe)


if __name__ == "__main__":
    main()
