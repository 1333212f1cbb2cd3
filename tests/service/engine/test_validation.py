"""Validation of a version, in this process and in one of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.engine import validation
from service.errors import DigitsError, ModelBroken, NoSuchModel, Unavailable
from service.repository.repository import Repository
from tests.support.models import BROKEN, card_for, classifier, digits, publish, publish_broken

KINDS = ["empty", "text", "truncated", "input of 32x32", "logits", "NaN", "fails with two digits"]


def card(root: Path, **changes: Any) -> None:
    path = root / "digits/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_good_version_gives_its_card_and_its_model(tmp_path: Path) -> None:
    publish(tmp_path, shift=1)
    found, model = validation.load(Repository(tmp_path), "digits", 1, "cpu")
    assert found["architecture"] == "brightest"
    assert model.predict(digits(3)).argmax() == 4
    asyncio.run(validation.check(tmp_path, "digits", 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_version_gives_the_same_message_in_both_processes(tmp_path: Path, kind: str) -> None:
    publish_broken(tmp_path, BROKEN[kind], **card_for(classifier()))
    with pytest.raises(ModelBroken) as here:
        validation.load(Repository(tmp_path), "digits", 1, "cpu")
    with pytest.raises(ModelBroken) as there:
        asyncio.run(validation.check(tmp_path, "digits", 1))
    assert str(there.value) == str(here.value)
    assert str(here.value).startswith("digits version 1 ")
    assert "\n" not in str(here.value)


def test_a_card_without_a_self_test(tmp_path: Path) -> None:
    publish_broken(tmp_path, classifier())
    with pytest.raises(ModelBroken, match="has no self_test"):
        validation.load(Repository(tmp_path), "digits", 1, "cpu")


def test_a_file_that_was_changed_after_publishing(tmp_path: Path) -> None:
    publish(tmp_path)
    card(tmp_path, sha256="0" * 64)
    with pytest.raises(ModelBroken, match="SHA-256"):
        validation.load(Repository(tmp_path), "digits", 1, "cpu")


def test_a_version_that_does_not_exist(tmp_path: Path) -> None:
    publish(tmp_path)
    for name, version in (("digits", 2), ("nothing", 1)):
        with pytest.raises(NoSuchModel):
            validation.load(Repository(tmp_path), name, version, "cpu")
        with pytest.raises(DigitsError):
            asyncio.run(validation.check(tmp_path, name, version))


def program(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "service.engine.validation", str(root), "digits", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_program_is_silent_about_a_good_version_and_prints_one_sentence_about_a_broken_one(tmp_path: Path) -> None:
    publish(tmp_path)
    assert [program(tmp_path).returncode, program(tmp_path).stdout, program(tmp_path).stderr] == [0, "", ""]
    (tmp_path / "digits/1/model.onnx").write_bytes(b"")
    ended = program(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.endswith(".\n")


def test_a_version_that_hangs_is_ended_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model file is a pipe that nobody writes: reading it never ends."""
    publish(tmp_path)
    (tmp_path / "digits/1/model.onnx").unlink()
    os.mkfifo(tmp_path / "digits/1/model.onnx")
    monkeypatch.setattr(validation, "TIMEOUT_S", 1)
    with pytest.raises(Unavailable, match="did not load within 1 seconds"):
        asyncio.run(validation.check(tmp_path, "digits", 1))
    children = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in children if str(tmp_path) in command]
