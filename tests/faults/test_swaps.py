"""Promotions under load: memory at the end is what it was at the start, and no answer is lost or wrong."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.faults.asking import Asking, document
from tests.faults.faults import Faults
from tests.faults.table import Row
from tests.support.models import BROKEN, card_for, classifier, publish, publish_broken
from tests.support.server import Server
from tests.support.waiting import until

WARM_UP, SHORT, LONG = 8, 60, 200
MOST_BYTES = 10 * 2**20


def tryouts(server: Server) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            found += [child] if "service.engine.validation" in " ".join(child.cmdline()) else []
    return found


def memory(server: Server) -> int:
    """Resident bytes of the service and its workers, without the processes that try a version out."""
    service = psutil.Process(server.process.pid)
    checks = tryouts(server)
    return sum(process.memory_info().rss for process in [service, *service.children()] if process not in checks)


def serves(server: Server, version: int) -> bool:
    return all(worker["version"] == version for worker in document(server, "/models/digits")["workers"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat(tmp_path: Path, long: bool, row: Callable[[str], Row], workers: int) -> None:
    line = row(f"promotions under load, {workers} worker(s), memory within 10 MB")
    shifts = {publish(tmp_path, shift=shift): shift for shift in (0, 1)}
    repository = RepositoryWriter(tmp_path)
    with (
        Server(tmp_path, workers=workers, watch_interval_s=0.05, recent_rows=256) as server,
        Asking(server, shifts) as asking,
    ):
        for swap in range(WARM_UP + (LONG if long else SHORT)):
            if swap == WARM_UP:
                before = memory(server)
            version = 1 + swap % 2
            repository.promote("digits", version)
            line.recovery_s.append(until(lambda v=version: serves(server, v)))
            line.times += 1
        asking.more()
        grown = memory(server) - before
        line.answers = asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])
    assert grown < MOST_BYTES, f"{grown / 2**20:.1f} MB more"


def test_broken_models_of_every_class_stay_out(tmp_path: Path, row: Callable[[str], Row]) -> None:
    line = row("broken models, one of each class, promoted under load")
    publish(tmp_path)
    repository = RepositoryWriter(tmp_path)
    with Server(tmp_path, watch_interval_s=0.05) as server, Asking(server, {1: 0, 2: 1}) as asking:
        for data in BROKEN.values():
            version = publish_broken(tmp_path, data, **card_for(classifier()))
            until(lambda v=version: str(v) in document(server, "/health/ready")["refused"].get("digits", ""))
            assert document(server, "/model")["version"] == 1
            line.times += 1
        repository.promote("digits", 1)
        line.recovery_s.append(until(lambda: document(server, "/health/ready")["refused"] == {}))
        line.answers = asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def end_one(server: Server, how: signal.Signals) -> bool:
    """End a try-out, if one runs."""
    for process in tryouts(server)[:1]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)
            return True
    return False


@pytest.mark.parametrize("kind", ["kill -9", "SIGTERM", "EIO"])
def test_a_passing_failure_of_a_try_out_is_not_final(
    tmp_path: Path, faults: Faults, row: Callable[[str], Row], kind: str
) -> None:
    """One worker has its try-out killed, or neither can read the file for a moment: both serve it in the end."""
    line = row(f"try-out of a good version: {kind}, 2 workers")
    root = tmp_path / "models"
    publish(root)
    publish(root, shift=1, promote=False)
    with (
        Server(root, environ=faults.environ, workers=2, watch_interval_s=0.1) as server,
        Asking(server, {1: 0, 2: 1}) as asking,
    ):
        asking.more()
        with faults.during(f"fail {errno.EIO} read" if kind == "EIO" else "delay 400 open"):
            RepositoryWriter(root).promote("digits", 2)
            if kind == "EIO":
                until(lambda: "cannot be read now" in str(document(server, "/health/ready")["refused"]))
            else:
                until(lambda: end_one(server, signal.SIGKILL if kind == "kill -9" else signal.SIGTERM))
        line.recovery_s.append(until(lambda: serves(server, 2)))
        until(lambda: document(server, "/health/ready")["refused"] == {})
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])


def test_a_candidate_answers_nobody_once_its_verdict_can_be_read(
    tmp_path: Path, faults: Faults, row: Callable[[str], Row]
) -> None:
    """The verdict is written in steps, and here the last of them takes a second."""
    line = row("a canary is rolled back by a slow models folder")
    root = tmp_path / "models"
    publish(root)
    publish(root, shift=1, promote=False)
    with Server(root, environ=faults.environ, watch_interval_s=0.1) as server, Asking(server, {1: 0, 2: 1}) as asking:
        with faults.during("delay 1000 unlink"):
            RepositoryWriter(root).start_rollout("digits", RolloutPlan(2, percent=100, min_digits=50, client_share=1))
            line.recovery_s.append(until(lambda: document(server, "/models/digits")["last_trial"]))
            asking.more()  # those that were on their way
            before = asking.answers[2]
            asking.more(50)
            assert (asking.answers[2], before > 0) == (before, True)
        line.times, line.answers = 1, asking.answers.total()
    line.lost, line.wrong = len(asking.failed), len(asking.wrong)
    assert (asking.failed, asking.wrong) == ([], [])
