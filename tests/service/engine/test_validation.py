"""Validation of a version, in this process and in one of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.engine import validation
from service.errors import DigitsError, ModelBroken, NoSuchModel, Unavailable
from service.repository.repository import Repository
from tests.support.hostile import expands, loops
from tests.support.models import BROKEN, card_for, classifier, digits, publish, publish_broken

pytestmark = pytest.mark.slow  # `make test-fast` has a minute for all

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


@pytest.mark.slow
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
    return subprocess.run(command, env=validation._environment("exporter"), capture_output=True, text=True, timeout=60)


def test_the_program_prints_the_hash_of_a_good_version_and_one_sentence_about_a_broken_one(tmp_path: Path) -> None:
    publish(tmp_path)
    tried = sha256((tmp_path / "digits/1/model.onnx").read_bytes()).hexdigest()
    ended = program(tmp_path)
    assert [ended.returncode, ended.stdout, ended.stderr] == [0, f"{tried}\n", ""]
    (tmp_path / "digits/1/model.onnx").write_bytes(b"")
    ended = program(tmp_path)
    assert (ended.returncode, ended.stdout) == (validation.REJECTED, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.endswith(".\n")


@pytest.mark.slow
def test_a_version_that_hangs_is_ended_and_leaves_no_process(tmp_path: Path) -> None:
    """Its model loops for ever on every digit."""
    publish_broken(tmp_path, loops(always=True), **card_for(classifier()))
    with pytest.raises(Unavailable, match=r"did not load within 2 seconds"):
        asyncio.run(validation.check(tmp_path, "digits", 1, operators="onnx", timeout_s=2))
    children = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in children if str(tmp_path) in command]


def test_a_version_that_hangs_by_its_files_is_rejected_at_once(tmp_path: Path) -> None:
    """A pipe that nobody writes to: reading it would never end."""
    for file in ("model.onnx", "card.json"):
        version = publish(tmp_path)
        (tmp_path / "digits" / str(version) / file).unlink()
        os.mkfifo(tmp_path / "digits" / str(version) / file)
        with pytest.raises(ModelBroken, match="not a regular file"):
            asyncio.run(validation.check(tmp_path, "digits", version))


def test_what_was_tried_is_what_is_loaded(tmp_path: Path) -> None:
    """The version is replaced, card and all, between its try-out and its loading."""
    publish(tmp_path)
    other = tmp_path / "other"
    publish(other, shift=1)
    tried = asyncio.run(validation.check(tmp_path, "digits", 1))
    load = partial(validation.load, Repository(tmp_path), "digits", 1, "cpu")
    load(tried=tried)
    for file in ("model.onnx", "card.json"):
        (other / "digits/1" / file).replace(tmp_path / "digits/1" / file)
    load()
    with pytest.raises(ModelBroken, match="changed after it was tried out"):
        load(tried=tried)


def test_no_secret_is_in_the_environment_of_the_try_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIGITS_ADMIN_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "PATH_TO_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/cuda/lib64")
    found = validation._environment("onnx")
    assert "secret" not in found.values()
    assert found["DIGITS_ALLOWED_OPERATORS"] == "onnx"
    assert found["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64"


def test_memory_that_a_model_asks_for_is_bounded(tmp_path: Path) -> None:
    """It makes tensors of 1.6 GB for one digit, in the process that tries it, and is rejected; a small one is not."""
    for side, fits in ((400_000_000, False), (1000, True)):
        version = publish_broken(tmp_path, expands(side), **card_for(classifier()))
        checked = validation.check(tmp_path, "digits", version, operators="onnx")
        if fits:
            assert asyncio.run(checked)
        else:
            with pytest.raises(ModelBroken):
                asyncio.run(checked)
