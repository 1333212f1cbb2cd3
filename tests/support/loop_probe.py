"""The service with a probe in its event loop: `python -m tests.support.loop_probe FILE [flags of the service]`.

FILE receives three float64, in seconds: the longest pause, the longest pause of the process, and its CPU time. A pause
is the CPU time that the loop's thread used between two turns of the probe, so a loaded machine does not lengthen it.
The pause of the process counts all threads: it shows those that hold the GIL, but also work beside the loop.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import sys
import time
from pathlib import Path

from service.server.watchdog import Watchdog

TURN_S = 0.001
RECORD = struct.Struct("ddd")


class Probe:
    """Reads what the probe in another process writes.

    Args:
        file: the FILE given to it.
    """

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(RECORD.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), RECORD.size)

    def reset(self) -> None:
        RECORD.pack_into(self._memory, 0, 0.0, 0.0, self.cpu_s)

    @property
    def pause_s(self) -> float:
        return float(RECORD.unpack_from(self._memory)[0])

    @property
    def process_pause_s(self) -> float:
        return float(RECORD.unpack_from(self._memory)[1])

    @property
    def cpu_s(self) -> float:
        return float(RECORD.unpack_from(self._memory)[2])


async def _measure(memory: mmap.mmap) -> None:
    own, all_threads = time.thread_time(), time.process_time()
    while True:
        await asyncio.sleep(TURN_S)
        pause, process_pause, _ = RECORD.unpack_from(memory)
        now, now_all = time.thread_time(), time.process_time()
        RECORD.pack_into(memory, 0, max(pause, now - own), max(process_pause, now_all - all_threads), now_all)
        own, all_threads = now, now_all


def main() -> None:
    with open(sys.argv.pop(1), "r+b") as opened:
        memory = mmap.mmap(opened.fileno(), RECORD.size)
    run = Watchdog.run

    async def run_both(self: Watchdog) -> None:
        task = asyncio.create_task(_measure(memory))
        try:
            await run(self)
        finally:
            task.cancel()

    Watchdog.run = run_both  # type: ignore[method-assign]
    from service.start import start

    start()
    os._exit(0)


if __name__ == "__main__":
    main()
