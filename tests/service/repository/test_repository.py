"""Reading the model repository: complete versions only, whatever stands in its files, while others write."""

from __future__ import annotations

import json
import os
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from service.errors import ModelBroken, NoSuchModel
from service.repository.writer import RepositoryWriter
from tests.support.repositories import publish, python

WRONG_NAMES = [
    "",
    ".",
    "..",
    "../digits",
    "/etc",
    "a/b",
    "a\\b",
    "digits\n",
    " digits",
    "-digits",
    "_digits",
    ".git",
    "x" * 65,
    "дigits",
    "٣",
    "digits\0",
    "a b",
    "a.b",
    "~",
    "*",
]


def test_published_versions_count_up_and_are_whole(repository: RepositoryWriter) -> None:
    assert [publish(repository) for _ in range(3)] == [1, 2, 3]
    assert repository.versions("digits") == [1, 2, 3]
    assert repository.names() == ["digits"]
    for version in (1, 2, 3):
        card = repository.card("digits", version)
        data = repository.model_bytes("digits", version)
        assert data == b"onnx %d" % version
        assert (card["name"], card["version"], card["sha256"]) == ("digits", version, sha256(data).hexdigest())
        assert card["architecture"] == "none"
        assert card["created"]
        assert repository.model_path("digits", version).read_bytes() == data


def test_nothing_is_served_until_promoted(repository: RepositoryWriter) -> None:
    publish(repository)
    with pytest.raises(NoSuchModel, match="promote"):
        repository.current("digits")
    repository.promote("digits", 1)
    assert repository.current("digits") == 1


# -- names, numbers and garbage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_wrong_name_reaches_no_file(repository: RepositoryWriter, name: str) -> None:
    publish(repository)
    repository.promote("digits", 1)
    for call in (
        lambda: repository.current(name),
        lambda: repository.card(name, 1),
        lambda: repository.model_path(name, 1),
        lambda: repository.model_bytes(name, 1),
        lambda: repository.promote(name, 1),
        lambda: repository.rollback(name),
        lambda: publish(repository, name=name),
    ):
        with pytest.raises(NoSuchModel):
            call()
    assert repository.versions(name) == []
    assert sorted(path.name for path in repository.root.parent.iterdir()) == ["models"]
    assert [path.name for path in repository.root.iterdir()] == ["digits"]


@pytest.mark.parametrize("version", [0, -1, 2, 10**17, 10**30])
def test_a_version_that_is_not_there(repository: RepositoryWriter, version: int) -> None:
    publish(repository)
    for call in (repository.card, repository.model_path, repository.model_bytes, repository.promote):
        with pytest.raises(NoSuchModel, match="published versions: 1"):
            call("digits", version)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    repository = RepositoryWriter(tmp_path / "nowhere")
    assert repository.names() == []
    assert repository.versions("digits") == []
    with pytest.raises(NoSuchModel, match="train and publish"):
        repository.current("digits")
    with pytest.raises(NoSuchModel):
        repository.rollback("digits")
    assert not repository.root.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"latest",
        b"1 2",
        b"-1",
        b"0",
        b"01",
        b"1.0",
        b"\xff\xfe",
        "١".encode(),
        b"9" * 40,
        b"../1",
        b"1\0",
        bytes(1000),
    ],
)
def test_garbage_in_current_is_said_and_can_be_repaired(repository: RepositoryWriter, content: bytes) -> None:
    publish(repository)
    repository.promote("digits", 1)
    (repository.root / "digits/current").write_bytes(content)
    with pytest.raises(ModelBroken, match="digits/current"):
        repository.current("digits")
    repository.promote("digits", 1)
    assert repository.current("digits") == 1


def test_current_that_is_a_folder(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/current").mkdir()
    with pytest.raises(ModelBroken, match="digits/current"):
        repository.current("digits")


def test_space_around_the_number_in_current_is_no_harm(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/current").write_bytes(b" 1 \r\n")
    assert repository.current("digits") == 1


def test_current_of_a_version_that_is_gone(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/current").write_text("7\n")
    with pytest.raises(NoSuchModel, match="no version 7"):
        repository.model_bytes("digits", repository.current("digits"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"card"', b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_a_broken_card_is_said(repository: RepositoryWriter, content: bytes) -> None:
    publish(repository)
    (repository.root / "digits/1/card.json").write_bytes(content)
    for call in (repository.card, repository.model_bytes):
        with pytest.raises(ModelBroken, match=r"card\.json"):
            call("digits", 1)


@pytest.mark.parametrize("sha", [None, "", 5, "0" * 64])
def test_a_card_of_another_file_is_said(repository: RepositoryWriter, sha: object) -> None:
    publish(repository)
    path = repository.root / "digits/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": sha}))
    with pytest.raises(ModelBroken, match="SHA-256"):
        repository.model_bytes("digits", 1)


def test_a_changed_or_missing_file_is_said(repository: RepositoryWriter) -> None:
    publish(repository)
    path = repository.root / "digits/1/model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelBroken, match="SHA-256"):
        repository.model_bytes("digits", 1)
    path.unlink()
    with pytest.raises(ModelBroken, match=r"no model\.onnx"):
        repository.model_bytes("digits", 1)
    assert repository.versions("digits") == []


def test_what_lies_beside_the_versions_is_passed_over(repository: RepositoryWriter) -> None:
    publish(repository)
    folder = repository.root / "digits"
    for name in ("latest", "0", "01", "-1", "1.5", "٣", "2.tmp", "3"):
        (folder / name).mkdir()
    (folder / "9").write_text("a file")
    (folder / "3/model.onnx").write_bytes(b"no card beside it")
    (repository.root / "notes.txt").write_text("a file")
    (repository.root / "empty").mkdir()
    assert repository.versions("digits") == [1]
    assert repository.names() == ["digits"]
    assert publish(repository) == 10
    assert repository.versions("digits") == [1, 10]


def test_two_models_are_two_worlds(repository: RepositoryWriter) -> None:
    for name in ("digits", "letters"):
        publish(repository, name.encode(), name)
        repository.promote(name, 1)
    publish(repository)
    assert repository.names() == ["digits", "letters"]
    assert (repository.versions("digits"), repository.versions("letters")) == ([1, 2], [1])
    assert repository.model_bytes("letters", 1) == b"letters 1"


# -- several processes at once ----------------------------------------------------------------------------------

READER = """
import sys
from pathlib import Path
from service.errors import NoSuchModel
from service.repository.writer import RepositoryWriter

repository, seen, looks = RepositoryWriter(Path(sys.argv[1])), 0, 0
print("reading", flush=True)
while seen < int(sys.argv[2]):
    versions = repository.versions("digits")
    assert versions == list(range(1, len(versions) + 1)), versions
    for version in versions[-3:]:
        assert repository.model_bytes("digits", version) == b"onnx %d" % version
        assert repository.card("digits", version)["version"] == version
    try:
        seen = repository.current("digits")
        repository.model_bytes("digits", seen)
    except NoSuchModel:
        pass
    looks += 1
print(looks)
"""


def test_a_reader_never_sees_half_a_version(repository: RepositoryWriter) -> None:
    reader = python(READER, repository.root, 50)
    watchdog = threading.Timer(60, reader.kill)
    watchdog.start()
    try:
        assert reader.stdout
        assert reader.stdout.readline() == "reading\n"
        for version in range(1, 51):
            assert publish(repository) == version
            repository.promote("digits", version)
        looks, said = reader.communicate()
    finally:
        watchdog.cancel()
    assert reader.returncode == 0, said
    assert int(looks) > 0


def test_a_repository_that_may_only_be_read_is_enough(repository: RepositoryWriter) -> None:
    publish(repository)
    repository.promote("digits", 1)
    before = sorted((path, path.stat().st_mtime_ns) for path in repository.root.rglob("*"))
    assert repository.model_bytes("digits", repository.current("digits")) == b"onnx 1"
    assert repository.names() == ["digits"]
    assert sorted((path, path.stat().st_mtime_ns) for path in repository.root.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(repository: RepositoryWriter) -> None:
    publish(repository)
    repository.promote("digits", 1)
    (repository.root / "digits/current").chmod(0)
    with pytest.raises(ModelBroken, match="permissions"):
        repository.current("digits")
