"""python -m service, and the command digits-serve: serves until a signal. `--help` lists every setting.

`python -m service keys` manages API keys.

Everything is imported within the functions, so that the garbage collector is off meanwhile: see server/collector.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.server import collector

if TYPE_CHECKING:
    import socket


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal, or run the command `keys`; `arguments` are those of the command line by default."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["keys"]:
        from service.access.commands import main as keys

        keys(given[1:])
        return
    collector.pause()
    from service.start import start

    start(given)


def worker(listeners: list[socket.socket], pipe: socket.socket) -> None:
    """Serve in one worker process; the supervisor has bound the listeners and holds the other end of the pipe."""
    collector.pause()
    from service.start import work

    work(listeners, pipe)


if __name__ == "__main__":
    main()
