"""A contender that is running: started, its answers checked, its speed and memory measured, ended."""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict

import httpx

from benchmarks.harness import bulk
from benchmarks.harness.arena import Arena
from benchmarks.harness.contenders import CEILING, Contender
from benchmarks.harness.digits import digits
from benchmarks.harness.forms import Form
from benchmarks.harness.load import load
from benchmarks.harness.results import Measurement
from benchmarks.harness.server import Failed, Server
from benchmarks.harness.workloads import ONLY_US, Workload

TIMEOUT_S = 60


class Entrant:
    """A running contender. Between its turns it is suspended (SIGSTOP), because some servers poll while idle."""

    def __init__(self, contender: Contender, arena: Arena) -> None:
        self.contender = contender
        self._arena = arena
        self._wrong = ""
        self._server: Server = arena.launch(contender)
        try:
            self._server.wait(lambda client: self._is_right(client, contender.forms["json"], 1))
        except BaseException as error:
            self._server.end()
            if isinstance(error, Failed) and self._wrong:
                raise Failed(f"{error} ({self._wrong})") from None
            raise
        self.memory_ready_mb = self._server.family.memory_mb()

    @property
    def started_in(self) -> float:
        return self._server.started_in

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def address(self) -> str:
        return self._server.address

    def takes(self, workload: Workload) -> bool:
        if workload.key in ONLY_US:
            return self.contender.environment is None
        return workload.kind in self.contender.forms

    def check(self, workload: Workload) -> None:
        """Raise Failed unless its answer is right. Waits behind requests that an earlier load left in its queue."""
        form = self.contender.forms[workload.kind]
        try:
            with httpx.Client(base_url=self.address, timeout=TIMEOUT_S, trust_env=False) as client:
                right = self._is_right(client, form, workload.digits)
        except httpx.TransportError as error:
            raise Failed(f"{workload.title} as {form.name} got no answer: {error!r}") from None
        if not right:
            raise Failed(f"{workload.title} as {form.name} got a wrong answer: {self._wrong}")

    def measure(self, workload: Workload, connections: int, seconds: float, round_: int) -> Measurement:
        """One measurement from the load's core: with wrk, or with bulk.py where single requests take long."""
        form = self.contender.forms[workload.kind]
        body, headers = form.encode(digits(workload.digits))
        file = self._arena.scratch / f"{self.contender.key}-{workload.key}"
        file.write_bytes(body)
        cpu = self._server.family.cpu_seconds()
        url = self.address + form.path
        try:
            if workload.kind == "bulk":
                measured = bulk.post(self.port, form.path, body, headers, connections, seconds)
            else:
                measured = load(url, file, headers, connections, seconds, self._arena.load_core)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{workload.title}: {error}") from None
        cpu = self._server.family.cpu_seconds() - cpu
        return Measurement(
            contender=self.contender.key, workload=workload.key, connections=connections, round=round_,
            form=form.name, digits=workload.digits, cpu_ms=cpu * 1000 / max(1, measured.requests), **asdict(measured),
        )  # fmt: skip

    def memory_mb(self) -> float:
        return self._server.family.memory_mb()

    def idle_cpu(self, seconds: float = 1.0) -> float:
        """CPU time per second while it gets no requests: 1.0 is a whole core."""
        before = self._server.family.cpu_seconds()
        time.sleep(seconds)
        return (self._server.family.cpu_seconds() - before) / seconds

    def pause(self) -> None:
        self._server.family.pause()

    def resume(self) -> None:
        self._server.family.resume()

    def end(self) -> None:
        self.resume()
        self._server.end()

    def _is_right(self, client: httpx.Client, form: Form, count: int) -> bool:
        pixels = digits(count)
        body, headers = form.encode(pixels)
        answer = client.post(form.path, content=body, headers=headers)
        if answer.status_code != 200:
            self._wrong = f"HTTP {answer.status_code}: {answer.text[:200]}"
            return False
        if self.contender is CEILING:
            return True
        try:
            found = form.decode(answer.content, answer.headers)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            self._wrong = f"not the expected answer ({error!r}): {answer.text[:200]}"
            return False
        self._wrong = f"probabilities {found[:1].round(4).tolist()}"
        return self._arena.reference.is_right(found, pixels)
