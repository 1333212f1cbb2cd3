"""Asks the other workers to publish their state now, so that what a client was answered is in the next sum it asks for.

Each worker has a datagram socket in the folder that the workers share. It is asked there, publishes, and answers; both
in its event loop, in which it counts what it has answered, so that requests pay nothing for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

WAIT_S = 0.5  # for a worker that does not answer; what it published last counts then
RETRY_S = 0.002  # while a worker has more datagrams than the system keeps for it
MAX_PATH = 100  # bytes of a socket's path; the kernel takes 107
MAX_MESSAGE = 200
MESSAGE = re.compile(rb"(ask|done) (\d{1,9}) ([\d.-]{1,64}\.socket)")
ENDING = ".socket"


class PublishRequests:
    """The socket of one worker.

    Args:
        folder: shared by all workers; None for a single worker, who asks nobody.
        name: of this worker, unique in the folder: digits, dots and hyphens.
        publish: writes the state of this worker.
    """

    def __init__(self, folder: Path | None, name: str, publish: Callable[[], None]) -> None:
        self._folder = folder
        self._name = name + ENDING
        self._publish = publish
        self._socket: socket.socket | None = None
        self._directory = -1
        self._lock = asyncio.Lock()
        self._asked = self._covered = self._round = 0
        self._missing: set[str] = set()
        self._complete = asyncio.Event()

    def listen(self) -> None:
        """Within the loop: be there to be asked. Calling it again binds a socket whose file has disappeared anew."""
        if self._folder is None or (self._socket and (self._folder / self._name).exists()):
            return
        self.close()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            bound.setblocking(False)
            bound.bind(self._address(self._name))
        except OSError:  # the folder is away or full: the state is written there once it is back, and so is this
            bound.close()
            self._close_directory()
            return
        self._socket = bound
        asyncio.get_running_loop().add_reader(bound, self._read)

    def close(self) -> None:
        """Within the loop: be there no more."""
        if self._socket and self._folder:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            with suppress(OSError):
                (self._folder / self._name).unlink()
        self._close_directory()

    async def all(self) -> None:
        """Return once every other worker has published, or has let 0.5 s pass. Callers at the same time share it."""
        if self._socket is None:
            return
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._covered >= mine:  # by a round that began after this call
                return
            covers = self._asked
            await self._ask()
            self._covered = covers

    async def _ask(self) -> None:
        self._round += 1
        self._complete.clear()
        self._missing = self._others()
        question = b"ask %d %b" % (self._round, self._name.encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                for name in sorted(self._missing):
                    while not self._send(name, question):  # noqa: ASYNC110 - another process reads
                        await asyncio.sleep(RETRY_S)
                if self._missing:
                    await self._complete.wait()

    def _others(self) -> set[str]:
        assert self._folder is not None, "a worker that listens has a folder"
        with suppress(OSError):
            return {path.name for path in self._folder.glob(f"*{ENDING}")} - {self._name}
        return set()

    def _send(self, name: str, message: bytes) -> bool:
        """False where it must be tried again."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto(message, self._address(name))
        except BlockingIOError:
            return False
        except OSError:  # that worker has ended
            self._answered(name)
        return True

    def _read(self) -> None:
        """Take what has come; publish once for all who ask."""
        asked: list[tuple[str, bytes]] = []
        with suppress(OSError):  # nothing more to read
            while self._socket:
                found = MESSAGE.fullmatch(self._socket.recv(MAX_MESSAGE))
                if found and found[1] == b"ask":
                    asked.append((found[3].decode(), b"done %b %b" % (found[2], self._name.encode())))
                elif found and int(found[2]) == self._round:
                    self._answered(found[3].decode())
        if asked:
            self._publish()
            for name, answer in asked:
                self._reply(name, answer)

    def _reply(self, name: str, answer: bytes, tries: int = int(WAIT_S / RETRY_S)) -> None:
        if not self._send(name, answer) and tries:
            asyncio.get_running_loop().call_later(RETRY_S, self._reply, name, answer, tries - 1)

    def _answered(self, name: str) -> None:
        self._missing.discard(name)
        if not self._missing:
            self._complete.set()

    def _address(self, name: str) -> str:
        path = f"{self._folder}/{name}"
        if len(os.fsencode(path)) <= MAX_PATH:
            return path
        return f"/proc/self/fd/{self._directory}/{name}"  # Linux's way to a path that is too long for a socket

    def _close_directory(self) -> None:
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1
