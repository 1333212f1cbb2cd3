"""Ends runs of a model that take too long: a thread counts how long each run has been under way.

On the hot path a run costs an entry in a dict, about half a microsecond: no timer, no clock, no lock. The thread looks
at all runs ten times per limit. It counts looks and not seconds, so that a process that was stopped for a while, or
starved of CPU, ends no run that was not given its time.

ONNX Runtime looks at RunOptions.terminate between two nodes of a graph. A single node that computes for ever cannot be
ended; the process then is, one limit later, since its event loop would never turn again.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import onnxruntime as ort

from service.errors import RunTimeout
from service.telemetry.exit import end_process

T = TypeVar("T")

log = logging.getLogger("service")

LOOKS = 10  # per limit
LOG_S = 1.0  # that the last log line may take
STUCK = 1  # exit code


class RunWatchdog:
    """Watches the runs of one process, in any of its threads.

    Args:
        timeout_s: longest time of one run, in seconds; it is ended at most a tenth later.
        on_stuck: called where a run does not end although it was told to; by default the end of the process.
    """

    def __init__(self, timeout_s: float, on_stuck: Callable[[], None] | None = None) -> None:
        self.timeout_s = timeout_s
        self._on_stuck = on_stuck or _end_process
        self._next_key = itertools.count().__next__
        self._free: list[ort.RunOptions] = []  # making one takes as long as all the rest
        self._running: dict[int, ort.RunOptions] = {}
        self._ending: dict[int, ort.RunOptions] = {}
        self._looks: dict[int, int] = {}  # at this run
        self._stopping = False
        thread = threading.Thread(target=_watch, args=(weakref.ref(self), timeout_s / LOOKS), daemon=True)
        thread.name = "run-watchdog"
        thread.start()

    def run(self, run: Callable[..., T], *arguments: Any) -> T:
        """What `run(*arguments, options)` returns, where `options` are the RunOptions that can end it.

        Raises:
            RunTimeout: it took too long and was ended.
        """
        key, free, running = self._next_key(), self._free, self._running
        options = free.pop() if free else ort.RunOptions()
        running[key] = options
        try:
            answers = run(*arguments, options)
        except BaseException as error:
            if self._finish(key, options) or not isinstance(error, Exception):
                raise
            raise RunTimeout(self._reason()) from None
        self._finish(key, options)
        return answers

    def _finish(self, key: int, options: ort.RunOptions) -> bool:
        """The run is over. False where it was told to end."""
        if self._running.pop(key, None) is None:  # whoever takes the key out, this or `look`, decides
            self._ending.pop(key, None)
            return False
        self._free.append(options)
        return True

    def _reason(self) -> str:
        if self._stopping:
            return "The service is stopping and could wait no longer for the model; its run was ended."
        return f"The model took longer than {self.timeout_s:g} s, and its run was ended."

    def end_all(self) -> None:
        """End every run now, and those that begin from now on a look later: the process is about to stop."""
        self._stopping = True
        for key in list(self._running):
            self._end(key)

    def look(self) -> None:
        """Look at every run once, and end those seen too often."""
        self._looks = {key: self._looks.get(key, 0) + 1 for key in [*self._running, *self._ending]}
        for key, looks in self._looks.items():
            if looks > (0 if self._stopping else LOOKS):
                self._end(key)
        if any(self._looks.get(key, 0) > 2 * LOOKS for key in list(self._ending)):
            self._on_stuck()

    def _end(self, key: int) -> None:
        options = self._running.get(key)
        if options is None:
            return
        self._ending[key] = options  # before it is taken out: `_finish` clears it
        if self._running.pop(key, None) is None:
            self._ending.pop(key, None)  # it has just finished
        else:
            options.terminate = True


def _watch(watchdog: weakref.ref[RunWatchdog], interval_s: float) -> None:
    """The thread: it ends once nobody has the watchdog any more."""
    while True:
        time.sleep(interval_s)
        alive = watchdog()
        if alive is None:
            return
        alive.look()
        del alive


def _end_process() -> None:
    timer = threading.Timer(LOG_S, end_process, (STUCK,))  # a log that nobody reads blocks whoever writes to it
    timer.daemon = True
    timer.start()
    log.critical("A run of a model does not end; this process ends, since it can answer nothing any more")
    end_process(STUCK)
