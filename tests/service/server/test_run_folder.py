"""The folder that workers share: new for every start, within DIGITS_RUN_DIR where that is set, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.errors import DigitsError
from service.server.run_folder import LOCK, run_folder
from service.settings import Settings
from tests.support.server import PATIENCE_S, Server, run_to_end
from tests.support.waiting import until

TWO = Settings(workers=2)


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_the_folder_is_for_this_user_alone_and_goes_with_it() -> None:
    with run_folder(TWO) as folder:
        assert folder
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_without_a_writable_temporary_folder_memory_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("there is no /dev/shm here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with run_folder(TWO) as folder:
        assert folder
        assert folder.parent == Path("/dev/shm")


def test_one_worker_shares_nothing() -> None:
    with run_folder(Settings(workers=1)) as folder:
        assert folder is None


def test_a_missing_folder_is_created_and_each_service_has_its_own(tmp_path: Path) -> None:
    settings = Settings(run_dir=tmp_path / "a" / "b")
    with run_folder(settings) as one, run_folder(settings) as other:
        assert one
        assert other
        assert one != other
        assert one.parent == other.parent == settings.run_dir
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_what_a_killed_service_left_is_removed_and_what_a_running_one_holds_is_not(tmp_path: Path) -> None:
    settings = Settings(run_dir=tmp_path)
    left = tmp_path / "digits-left"
    left.mkdir()
    (left / LOCK).touch()
    (left / "letters.unloaded").touch()
    mine = tmp_path / "digits-notes.txt"
    mine.touch()
    with run_folder(settings) as running:
        assert not left.exists()
        with run_folder(settings):
            assert running
            assert running.exists()
    assert mine.exists()


def test_a_folder_that_cannot_be_created_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DigitsError, match="DIGITS_RUN_DIR is"), run_folder(Settings(run_dir=tmp_path / "file" / "x")):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_says_that_it_cannot_start(models_dir: Path, tmp_path: Path, workers: int) -> None:
    (tmp_path / "file").touch()
    ended = run_to_end(models_dir=models_dir, port=0, workers=workers, run_dir=tmp_path / "file")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Cannot start: DIGITS_RUN_DIR is ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_folder_that_is_removed_is_created_again(models_dir: Path, tmp_path: Path) -> None:
    """Metrics are answered all the while, and after a moment both workers are in them again."""
    run_dir = tmp_path / "run"
    with Server(models_dir, workers=2, run_dir=run_dir, feedback_path=tmp_path / "f.sqlite") as server:
        wait_for(lambda: "digits_workers 2.0" in httpx.get(f"{server.url}/metrics").text)
        shutil.rmtree(run_dir)
        for _ in range(20):
            assert httpx.get(f"{server.url}/metrics").status_code == 200
        wait_for(lambda: len(list(run_dir.glob("*/*.json"))) == 2)
        wait_for(lambda: len(list(run_dir.glob("*/*.ring"))) == 2)
        wait_for(lambda: "digits_workers 2.0" in httpx.get(f"{server.url}/metrics").text)
        code, log = server.stop()
    assert code == 0, log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_folder_of_an_earlier_run_is_not_taken_for_this_one(models_dir: Path, tmp_path: Path) -> None:
    """A model that was unloaded by the service of before is served by this one."""
    (tmp_path / "digits.unloaded").touch()
    with Server(models_dir, workers=2, run_dir=tmp_path, feedback_path=tmp_path / "f.sqlite") as server:
        wait_for(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200)


def test_foreign_files_in_a_shared_folder_harm_nothing(models_dir: Path, tmp_path: Path) -> None:
    """/dev/shm belongs to all: others may put anything there, under our names too."""
    run_dir, precious = tmp_path / "run", tmp_path / "precious"
    precious.mkdir()
    (precious / "lock").touch()
    for name in ("digits-pipe", "digits-folder", "digits-garbage"):
        (run_dir / name).mkdir(parents=True)
    os.mkfifo(run_dir / "digits-pipe" / "lock")
    (run_dir / "digits-folder" / "lock").mkdir()
    (run_dir / "digits-garbage" / "1.json").write_bytes(b"\xff" * 1000)
    (run_dir / "digits-link").symlink_to(precious)
    (run_dir / "digits-file").touch()
    os.truncate(run_dir / "digits-file", 2**30)
    more = {"run_dir": run_dir, "workers": 2}
    with (
        Server(models_dir, feedback_path=tmp_path / "a.sqlite", **more) as one,
        Server(models_dir, feedback_path=tmp_path / "b.sqlite", **more) as other,
    ):
        for _ in range(5):
            assert one.client.get("/model").status_code == 200
        until(lambda: 'route="/model"' in one.client.get("/metrics").text)
        assert 'route="/model"' not in other.client.get("/metrics").text
    assert (precious / "lock").exists()
    left = {path.name for path in run_dir.iterdir()}
    assert {"digits-pipe", "digits-folder", "digits-garbage", "digits-link", "digits-file"} <= left
