"""Counters of workers that have ended: never lost, never counted twice, whoever reads meanwhile; and no files left."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.telemetry.metrics import Meter, added_up
from service.telemetry.retired import retire, retired
from service.telemetry.scoreboard import ALIVE_SECONDS, Scoreboard, rollout_counts


def state(requests: float, trial: str = "plan", last_ms: int = 1) -> dict[str, Any]:
    meter = Meter()
    meter.requests["/predict POST 200"] = [requests, requests]
    meter.statistics.requests["digits 1"] = [last_ms, 1, 2, 3, 4, 5, 6, 7, 8]
    counts = {"id": trial, "version": 2, "requests": 1, "errors": 2, "compared": 3, "disagreed": 4, "dropped": 5}
    return {
        "pid": 1,
        "started": 1.0,
        "updated": time.monotonic(),
        "live": {"digits": 1},
        "provider": "cpu",
        "queue_rows": 0,
        "refused": {},
        "trials": {"digits": counts},
        "numbers": meter.snapshot(),
        "leaving": False,
    }


def put(folder: Path, pid: int, **more: Any) -> Path:
    path = folder / f"{pid}-1.000000.json"
    path.write_bytes(orjson.dumps(state(**more)))
    return path


def board(folder: Path) -> Scoreboard:
    return Scoreboard(folder, lambda: state(0, "none") | {"trials": {}})


def requests(scoreboard: Scoreboard) -> float:
    return added_up(each["numbers"] for each in scoreboard.all())["requests"]["/predict POST 200"][0]


def test_counters_stay_and_files_go(tmp_path: Path) -> None:
    scoreboard = board(tmp_path)
    for pid in range(10, 20):
        put(tmp_path, pid, requests=1, last_ms=pid)
        (tmp_path / f"{pid}-1.000000.new").touch()
        retire(tmp_path, pid, "SIGKILL")
    assert [path.name for path in tmp_path.iterdir()] == ["retired.sum"]
    assert requests(scoreboard) == 10
    total, _ = retired(tmp_path)
    assert total
    assert not total["alive"]
    assert rollout_counts([total], "digits", "plan") == {"requests": 10, "errors": 20, "compared": 30, "disagreed": 40}
    assert total["numbers"]["statistics"]["requests"]["digits 1"] == [19, 10, 20, 30, 40, 50, 60, 70, 80]
    assert total["numbers"]["events"]["worker_deaths SIGKILL"] == [10.0]


def test_a_worker_that_died_before_it_wrote_is_counted_too(tmp_path: Path) -> None:
    retire(tmp_path, 7, "exit 1")
    total, _ = retired(tmp_path)
    assert total
    assert total["numbers"]["events"] == {"worker_deaths exit 1": [1.0]}


def test_of_two_trials_the_later_one_counts(tmp_path: Path) -> None:
    for pid, trial in ((1, "old"), (2, "new"), (3, "new")):
        put(tmp_path, pid, requests=1, trial=trial)
        retire(tmp_path, pid)
    total, _ = retired(tmp_path)
    assert total
    assert rollout_counts([total], "digits", "new")["requests"] == 2


def test_a_file_that_could_not_be_removed_is_not_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, 5, requests=3)
    content = path.read_bytes()
    retire(tmp_path, 5)
    path.write_bytes(content)
    assert requests(board(tmp_path)) == 3


def test_a_full_disk_changes_nothing_and_the_next_call_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 5, requests=3)
    (tmp_path / "5-1.000000.ring").touch()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            retire(tmp_path, 5, "SIGKILL")
    assert requests(board(tmp_path)) == 3
    orphan = tmp_path / "orphan-5-1.000000.ring"
    orphan.unlink()  # it is left to the next worker all the same, which would otherwise make one more
    retire(tmp_path, 5, "SIGKILL")
    assert requests(board(tmp_path)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["retired.sum"]


def test_who_reads_meanwhile_sees_every_number_once(tmp_path: Path) -> None:
    scoreboard = board(tmp_path)
    for pid in range(100):
        put(tmp_path, pid, requests=1)
    seen: list[float] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(requests(scoreboard))

    reader = threading.Thread(target=read)
    reader.start()
    for pid in range(100):
        retire(tmp_path, pid)
    over.set()
    reader.join()
    assert set(seen) == {100}


# -- the scoreboard -----------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_makes_nobody_alive_or_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the monotonic clock counts: files of an earlier boot are not of this moment, whichever way they differ."""
    scoreboard = board(tmp_path)
    for pid, age in ((11, 0.0), (12, ALIVE_SECONDS + 1), (13, -3600.0)):
        (tmp_path / f"{pid}-1.0.json").write_bytes(
            orjson.dumps(state(1) | {"pid": pid, "updated": time.monotonic() - age})
        )
    for wall_clock in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda now=wall_clock: now)
        assert sorted(each["pid"] for each in scoreboard.alive()) == sorted([1, 11])


def test_what_cannot_be_written_is_logged_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scoreboard = board(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken, caplog.at_level("INFO"):
        broken.setattr(Path, "write_bytes", full)
        for _ in range(5):
            scoreboard.publish()
    assert caplog.text.count("No space left") == 1
    with caplog.at_level("INFO"):
        scoreboard.publish()
    assert "written again" in caplog.text
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == [str(os.getpid())]


def test_a_folder_that_is_gone_is_created_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scoreboard = board(folder)
    scoreboard.publish()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert len(scoreboard.all()) == 1
    scoreboard.publish()
    assert len(list(folder.iterdir())) == 1
    folder.joinpath("half.json").write_bytes(b'{"pid"')
    assert len(scoreboard.all()) == 1
