"""Notices that the event loop does not turn: whatever runs in it then answers nobody.

A thread compares the clock with the last turn of the loop. It logs where the loop's thread is, and tells the parent
process as long as the loop turns; the supervisor replaces a worker that does not report for DIGITS_LOOP_TIMEOUT_S.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from service.telemetry.exit import end_process

log = logging.getLogger("service")

TURN_S = 0.25
STALL_S = 1.0
STALLED = 4  # exit code of a process that ends because its loop does not turn


class Watchdog:
    """Watches one loop, from `run()` on.

    Args:
        stalled: called once for each stall, from the watchdog's thread.
        beat: called a few times per second while the loop turns, from the watchdog's thread.
        exit_after_s: end the process after a stall of so many seconds; None: never.
    """

    def __init__(
        self, stalled: Callable[[], None], beat: Callable[[], None] = lambda: None, exit_after_s: float | None = None
    ) -> None:
        self._stalled = stalled
        self._beat = beat
        self._exit_after_s = exit_after_s
        self._turned = time.monotonic()
        self._noticed = False
        self._loop_thread = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Within the loop that is watched, until cancelled."""
        self._loop_thread, self._turned = threading.get_ident(), time.monotonic()
        self._over.clear()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                await asyncio.sleep(TURN_S)
                self._turned = time.monotonic()
        finally:
            self._over.set()

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._over.wait(TURN_S):
            now = time.monotonic()
            if now - looked < STALL_S:  # else this thread did not run either: the machine is to blame, not the loop
                self._look(now - self._turned)
            looked = now

    def _look(self, late_s: float) -> None:
        if late_s < STALL_S:
            if self._noticed:
                log.warning("The event loop turns again")
            self._noticed = False
            self._beat()
            return
        if not self._noticed:
            self._noticed = True
            self._stalled()
            log.error("The event loop has not turned for %.1f s%s", late_s, _where(self._loop_thread))
        if self._exit_after_s is not None and late_s > self._exit_after_s:
            log.error("The event loop has not turned for %.1f s; this process ends", late_s)
            end_process(STALLED)


def _where(thread: int) -> str:
    """The request that the thread works on, as far as its frames tell, and its stack."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    stack = "".join(traceback.format_stack(frame)).rstrip()
    return f"{_request(frame)}, here:\n{stack}"


def _request(innermost: FrameType) -> str:
    found: dict[str, str] = {}
    for variables in _variables(innermost):
        if isinstance(scope := variables.get("scope"), dict) and "path" in scope:
            found.setdefault("call", f"{scope.get('method')} {scope['path']!r}")
        request_id = variables.get("request_id") or getattr(variables.get("self"), "request_id", None)
        if isinstance(request_id, bytes):
            found.setdefault("id", f"request {request_id.decode('ascii', 'replace')}")
    return "".join(f", {text}" for text in found.values())


def _variables(innermost: FrameType) -> Iterator[dict[str, Any]]:
    frame: FrameType | None = innermost
    while frame:
        yield dict(frame.f_locals)
        frame = frame.f_back
