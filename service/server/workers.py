"""Several worker processes: started, watched, replaced when they die or hang, and told to stop.

A worker reports over a pipe that its event loop turns. Orders go the other way (parent.py).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from pydantic import SecretStr

from service.server.drain import CUT_SHORT, SAME_STOP_S, STOP_AT_ONCE
from service.server.orphans import Orphans
from service.server.parent import send
from service.server.signals import SIGNALS, into_pipe
from service.settings import Settings
from service.telemetry.retired import retire

log = logging.getLogger("service")

ENTRY = "service.__main__:worker"
POLL_S = 0.5
START_S = 120.0  # to load the model and report for the first time
STEADY_S = 30.0  # a worker that lived for so long is replaced at once
MAX_PAUSE_S = 30.0
DONE, STALLED, FAILED_TO_START = "exit 0", "stalled", ("exit 1", "exit 3")  # how a worker ended
STOPPED = (DONE, "SIGTERM", "SIGINT", "SIGHUP")  # these end it only before it serves
KILL_AFTER_S = 5.0  # after the grace period, in which a worker ends itself


class Worker:
    """One process.

    Attributes:
        ready: whether it has reported that its loop turns.
    """

    def __init__(self, listeners: list[socket.socket]) -> None:
        self.pipe, theirs = socket.socketpair()
        self.pipe.setblocking(False)
        with theirs:
            arguments = (ENTRY, listeners, theirs)
            # daemon: should the supervisor itself fail, Python ends its workers and does not wait for them for ever
            self.process = multiprocessing.get_context("spawn").Process(target=_child, args=arguments, daemon=True)
            self.process.start()
        self.ready = False
        self.began = self.turned = monotonic()

    def stalled(self, timeout_s: float) -> bool:
        """Whether its event loop has not turned for so long."""
        with suppress(OSError):  # nothing to read, or it has ended
            while self.pipe.recv(2**12):
                self.ready, self.turned = True, monotonic()
        return monotonic() - self.turned > (timeout_s if self.ready else START_S + timeout_s)

    def ended(self) -> str:
        """How it ended, in one or two words: a signal's name, or the exit code."""
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit {code}"

    def close(self) -> None:
        self.process.close()
        self.pipe.close()


class Slot:
    """The place of one worker: who is there, and how long to wait before the next one is started.

    Attributes:
        failed: a worker here has failed to start.
    """

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.failed = False
        self.start_at = 0.0
        self._pause_s = 0.0

    def emptied(self, lived_s: float) -> None:
        """Its worker has ended: the sooner again and again, the longer the pause."""
        self.worker = None
        self._pause_s = 0.0 if lived_s > STEADY_S else self._pause_s
        self.start_at = monotonic() + self._pause_s
        self._pause_s = min(max(1.0, 2 * self._pause_s), MAX_PAUSE_S)


class Workers:
    """The supervisor.

    Args:
        settings: how many workers, and how long they may hang or stop.
        listeners: the sockets that all of them share.
        folder: that all of them share.
    """

    def __init__(self, settings: Settings, listeners: list[socket.socket], folder: Path) -> None:
        self._settings = settings
        self._listeners = listeners
        self._folder = folder
        self._slots = [Slot() for _ in range(settings.workers)]
        self._unretired: list[tuple[int, str]] = []
        self._orphans = Orphans()
        self._told_at: float | None = None
        self._kill_at = float("inf")
        self._was_ready = False
        self._exit_code = 0
        self._signals = into_pipe()
        os.set_blocking(self._signals, False)

    def run(self) -> int:
        """Serve until a signal. The exit code: 0, or 1 if requests were cut short or no worker could start."""
        while self._told_at is None or self._running():
            if self._told_at is None:
                self._fill()
            self._wait()
            self._obey_signals()
            self._look()
            self._orphans.reap()
        return self._exit_code

    def _wait(self) -> None:
        """Until a worker ends, a signal comes, or half a second is over."""
        sentinels = [worker.process.sentinel for worker in self._running()]
        try:
            wait([self._signals, *sentinels], POLL_S)
        except OSError:  # short of memory, or of descriptors: poll() takes no more of them than the limit
            sleep(POLL_S)

    def _running(self) -> list[Worker]:
        return [slot.worker for slot in self._slots if slot.worker]

    def _fill(self) -> None:
        for slot in self._slots:
            if slot.worker is None and monotonic() >= slot.start_at:
                try:
                    slot.worker = Worker(self._listeners)
                except OSError as error:  # no more processes, files or memory
                    log.error("A worker cannot be started (%s)", error)
                    slot.emptied(0)

    def _look(self) -> None:
        stalled = [worker for worker in self._running() if worker.stalled(self._settings.loop_timeout_s)]
        self._was_ready |= any(worker.ready for worker in self._running())  # before one is found to have failed
        for slot in self._slots:
            if slot.worker is None:
                continue
            if slot.worker.process.exitcode is not None:
                self._bury(slot, slot.worker, slot.worker.ended())
            elif slot.worker in stalled or monotonic() > self._kill_at:
                slot.worker.process.kill()
                slot.worker.process.join()
                self._bury(slot, slot.worker, STALLED)
        self._retire()

    def _bury(self, slot: Slot, worker: Worker, how: str) -> None:
        told, lived_s, pid = self._told_at is not None, monotonic() - worker.began, worker.process.pid or 0
        planned = (how == DONE and worker.ready) or (told and how in STOPPED)
        worker.close()
        slot.emptied(STEADY_S + 1 if planned else lived_s)
        self._unretired.append((pid, "" if planned or told else how))
        self._exit_code |= CUT_SHORT if told and not planned else 0
        then = "" if told else f"; the next one starts in {max(0.0, slot.start_at - monotonic()):.0f} s"
        level = logging.INFO if planned else logging.WARNING
        log.log(level, "Worker %d %s after %.1f s%s", pid, self._sentence(how), lived_s, then)
        slot.failed |= how in FAILED_TO_START and not worker.ready
        if all(each.failed for each in self._slots) and not self._was_ready and not told:
            log.error("No worker could start; stopping")
            self._exit_code = CUT_SHORT
            self._stop(signal.SIGTERM)

    def _sentence(self, how: str) -> str:
        if how == STALLED:
            return f"was killed, because its event loop had not turned for {self._settings.loop_timeout_s:g} s,"
        return f"ended ({how})"

    def _retire(self) -> None:
        """Keep the counters of workers that have ended; what cannot be written now is tried again."""
        for pid, cause in list(self._unretired):
            try:
                retire(self._folder, pid, cause)
            except OSError:
                return
            self._unretired.remove((pid, cause))

    def _obey_signals(self) -> None:
        numbers = b""
        with suppress(BlockingIOError):
            numbers = os.read(self._signals, 64)
        for number in numbers:
            if number in SIGNALS:
                self._stop(number)

    def _stop(self, number: int) -> None:
        """As Drain counts signals: within a second of the first it is the same stop, and SIGHUP never hurries."""
        order = signal.SIGTERM if number == signal.SIGHUP else number
        if self._told_at is None:
            self._told_at = monotonic()
            self._kill_at = self._told_at + self._settings.grace_s + KILL_AFTER_S
        elif number == signal.SIGHUP or monotonic() - self._told_at < SAME_STOP_S:
            return
        else:
            order, self._kill_at = STOP_AT_ONCE, min(self._kill_at, monotonic() + KILL_AFTER_S)
        for worker in self._running():
            send(worker.pipe, bytes([order]))


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as DIGITS_* variables, from which each worker builds its own application."""
    values = ((name, getattr(settings, name)) for name in Settings.model_fields)
    return {
        f"DIGITS_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values
        if value is not None
    }


def _child(entry: str, *arguments: Any) -> None:
    """In the new process. The entry is named, not imported here: it switches the garbage collector off first."""
    module, _, name = entry.partition(":")
    getattr(import_module(module), name)(*arguments)
