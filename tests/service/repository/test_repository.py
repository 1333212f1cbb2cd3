"""The model repository: whole versions or none, whatever else writes, dies or types nonsense meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DigitsError, ModelBroken, NoSuchModel
from service.repository.repository import Repository
from tests.support.server import ROOT

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


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def publish(repository: Repository, content: bytes = b"onnx", name: str = "digits") -> int:
    return repository.publish(name, lambda version: content + b" %d" % version, {"architecture": "none"})


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that uses the registry, as a trainer beside the service does."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_published_versions_count_up_and_are_whole(repository: Repository) -> None:
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


def test_a_card_cannot_lie_about_what_the_repository_knows(repository: Repository) -> None:
    lies = {"name": "other", "version": 9, "sha256": "0", "created": "never", "metrics": {"accuracy": 0.99}}
    repository.publish("digits", lambda _: b"onnx", lies)
    card = repository.card("digits", 1)
    assert (card["name"], card["version"]) == ("digits", 1)
    assert repository.model_bytes("digits", 1) == b"onnx"
    assert card["created"] != "never"
    assert card["metrics"] == {"accuracy": 0.99}


def test_nothing_is_served_until_promoted(repository: Repository) -> None:
    publish(repository)
    with pytest.raises(NoSuchModel, match="promote"):
        repository.current("digits")
    repository.promote("digits", 1)
    assert repository.current("digits") == 1


def test_promote_and_rollback_walk_back_along_what_was_served(repository: Repository) -> None:
    for _ in range(4):
        publish(repository)
    for version in (1, 2, 4, 3):
        repository.promote("digits", version)
    assert [repository.rollback("digits") for _ in range(3)] == [4, 2, 1]
    assert repository.current("digits") == 1
    with pytest.raises(NoSuchModel, match="promote one"):
        repository.rollback("digits")
    assert repository.current("digits") == 1


def test_rollback_goes_back_again_to_a_version_served_twice(repository: Repository) -> None:
    for _ in range(2):
        publish(repository)
    for version in (1, 2, 1):
        repository.promote("digits", version)
    assert repository.rollback("digits") == 2
    assert repository.rollback("digits") == 1


def test_promoting_what_is_served_changes_nothing(repository: Repository) -> None:
    for _ in range(2):
        publish(repository)
    for version in (1, 2, 2, 2):
        repository.promote("digits", version)
    assert repository.rollback("digits") == 1


def test_promoting_after_a_rollback_starts_from_there(repository: Repository) -> None:
    for _ in range(3):
        publish(repository)
    for version in (1, 2):
        repository.promote("digits", version)
    repository.rollback("digits")
    repository.promote("digits", 3)
    assert repository.rollback("digits") == 1


def test_rollback_passes_over_versions_that_are_gone(repository: Repository) -> None:
    for version in (1, 2, 3):
        publish(repository)
        repository.promote("digits", version)
    (repository.root / "digits/2/model.onnx").unlink()
    assert repository.rollback("digits") == 1


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.one_of(st.integers(1, 4), st.just("back")), max_size=12))
def test_any_walk_is_a_stack(tmp_path_factory: pytest.TempPathFactory, walk: list[int | str]) -> None:
    repository = Repository(tmp_path_factory.mktemp("walk"))
    for _ in range(4):
        publish(repository)
    served: list[int] = []
    for step in walk:
        if isinstance(step, int):
            repository.promote("digits", step)
            served += [step] if served[-1:] != [step] else []
        elif len(served) > 1:
            served.pop()
            assert repository.rollback("digits") == served[-1]
        else:
            with pytest.raises(NoSuchModel):
                repository.rollback("digits")
        if served:
            assert repository.current("digits") == served[-1]


# -- names, numbers and garbage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_wrong_name_reaches_no_file(repository: Repository, name: str) -> None:
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
def test_a_version_that_is_not_there(repository: Repository, version: int) -> None:
    publish(repository)
    for call in (repository.card, repository.model_path, repository.model_bytes, repository.promote):
        with pytest.raises(NoSuchModel, match="published versions: 1"):
            call("digits", version)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "nowhere")
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
def test_garbage_in_current_is_said_and_can_be_repaired(repository: Repository, content: bytes) -> None:
    publish(repository)
    repository.promote("digits", 1)
    (repository.root / "digits/current").write_bytes(content)
    with pytest.raises(ModelBroken, match="digits/current"):
        repository.current("digits")
    repository.promote("digits", 1)
    assert repository.current("digits") == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"latest\n1\n", b"\0", "١\n".encode()])
def test_garbage_in_previous_stops_nobody(repository: Repository, content: bytes) -> None:
    for version in (1, 2):
        publish(repository)
        repository.promote("digits", version)
    publish(repository)
    (repository.root / "digits/previous").write_bytes(content)
    repository.promote("digits", 3)
    assert repository.rollback("digits") == 2


def test_current_that_is_a_folder(repository: Repository) -> None:
    publish(repository)
    (repository.root / "digits/current").mkdir()
    with pytest.raises(ModelBroken, match="digits/current"):
        repository.current("digits")


def test_space_around_the_number_in_current_is_no_harm(repository: Repository) -> None:
    publish(repository)
    (repository.root / "digits/current").write_bytes(b" 1 \r\n")
    assert repository.current("digits") == 1


def test_current_of_a_version_that_is_gone(repository: Repository) -> None:
    publish(repository)
    (repository.root / "digits/current").write_text("7\n")
    with pytest.raises(NoSuchModel, match="no version 7"):
        repository.model_bytes("digits", repository.current("digits"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"card"', b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_a_broken_card_is_said(repository: Repository, content: bytes) -> None:
    publish(repository)
    (repository.root / "digits/1/card.json").write_bytes(content)
    for call in (repository.card, repository.model_bytes):
        with pytest.raises(ModelBroken, match=r"card\.json"):
            call("digits", 1)


@pytest.mark.parametrize("sha", [None, "", 5, "0" * 64])
def test_a_card_of_another_file_is_said(repository: Repository, sha: object) -> None:
    publish(repository)
    path = repository.root / "digits/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": sha}))
    with pytest.raises(ModelBroken, match="SHA-256"):
        repository.model_bytes("digits", 1)


def test_a_changed_or_missing_file_is_said(repository: Repository) -> None:
    publish(repository)
    path = repository.root / "digits/1/model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelBroken, match="SHA-256"):
        repository.model_bytes("digits", 1)
    path.unlink()
    with pytest.raises(ModelBroken, match=r"no model\.onnx"):
        repository.model_bytes("digits", 1)
    assert repository.versions("digits") == []


def test_what_lies_beside_the_versions_is_passed_over(repository: Repository) -> None:
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


def test_half_a_version_is_not_promoted(repository: Repository) -> None:
    publish(repository)
    (repository.root / "digits/2").mkdir()
    (repository.root / "digits/2/model.onnx").write_bytes(b"no card beside it")
    repository.promote("digits", 1)
    with pytest.raises(DigitsError):
        repository.promote("digits", 2)
    assert repository.current("digits") == 1


def test_two_models_are_two_worlds(repository: Repository) -> None:
    for name in ("digits", "letters"):
        publish(repository, name.encode(), name)
        repository.promote(name, 1)
    publish(repository)
    assert repository.names() == ["digits", "letters"]
    assert (repository.versions("digits"), repository.versions("letters")) == ([1, 2], [1])
    assert repository.model_bytes("letters", 1) == b"letters 1"


# -- a publisher that fails or dies -----------------------------------------------------------------------------


def test_a_model_that_cannot_be_made_leaves_nothing(repository: Repository) -> None:
    def fail(_: int) -> bytes:
        raise RuntimeError("out of memory")

    publish(repository)
    with pytest.raises(RuntimeError, match="out of memory"):
        repository.publish("digits", fail, {})
    with pytest.raises(ValueError, match="JSON"):
        repository.publish("digits", lambda _: b"onnx", {"loss": float("nan")})
    assert repository.versions("digits") == [1]
    assert publish(repository) == 2
    assert not [path for path in (repository.root / "digits").iterdir() if "publishing" in path.name]


DIES = """
import os, signal, sys
from pathlib import Path
from service.repository.repository import Repository

flushes, last = 0, int(sys.argv[3])
flush = os.fsync

def dying(handle):
    global flushes
    flushes += 1
    if flushes == last:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(handle)

os.fsync = dying
repository = Repository(Path(sys.argv[1]))
if sys.argv[2] == "publish":
    repository.publish("digits", lambda version: b"onnx %d" % version, {})
elif sys.argv[2] == "promote":
    repository.promote("digits", 3)
else:
    repository.rollback("digits")
print(flushes)
"""


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_a_publisher_killed_at_any_flush_leaves_a_whole_version_or_none(repository: Repository, last: int) -> None:
    publish(repository)
    repository.promote("digits", 1)
    process = python(DIES, repository.root, "publish", last)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert repository.versions("digits") == ([1, 2] if last == 4 else [1])
    assert repository.current("digits") == 1
    for version in repository.versions("digits"):
        assert repository.model_bytes("digits", version) == b"onnx %d" % version
    assert publish(repository) == (3 if last == 4 else 2)
    assert not [entry for entry in os.listdir(repository.root / "digits") if "publishing" in entry]  # swept up


@pytest.mark.slow
@pytest.mark.parametrize("last", [1, 2, 3, 4])
@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_promotion_killed_at_any_flush_is_done_or_not_begun(repository: Repository, what: str, last: int) -> None:
    for version in (1, 2, 3):
        publish(repository)
        if version < 3:
            repository.promote("digits", version)
    process = python(DIES, repository.root, what, last)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    served = repository.current("digits")
    assert served in ((2, 3) if what == "promote" else (1, 2))
    earlier = {3: [2, 1], 2: [1], 1: []}[served]
    assert [repository.rollback("digits") for _ in earlier] == earlier
    with pytest.raises(NoSuchModel):
        repository.rollback("digits")


def test_a_publisher_killed_while_it_makes_the_model_holds_nobody_up(repository: Repository) -> None:
    publish(repository)
    process = python(
        """
import sys
from pathlib import Path
from service.repository.repository import Repository

def slow(version):
    print("making", flush=True)
    sys.stdin.read()

Repository(Path(sys.argv[1])).publish("digits", slow, {})
""",
        repository.root,
    )
    assert process.stdout
    assert process.stdout.readline() == "making\n"
    assert repository.versions("digits") == [1]
    process.kill()
    process.communicate(timeout=60)
    assert publish(repository) == 2


def test_a_full_disk_leaves_nothing(repository: Repository) -> None:
    publish(repository)
    process = python(
        """
import resource, signal, sys
from pathlib import Path
from service.repository.repository import Repository

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
try:
    Repository(Path(sys.argv[1])).publish("digits", lambda version: bytes(5000), {})
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures coverage writes a file at the end
""",
        repository.root,
    )
    assert process.communicate(timeout=60) == ("refused\n", "")
    assert repository.versions("digits") == [1]
    assert sorted(path.name for path in (repository.root / "digits").iterdir()) == [".lock", "1", "config.pbtxt"]


# -- several processes at once ----------------------------------------------------------------------------------

READER = """
import sys
from pathlib import Path
from service.errors import NoSuchModel
from service.repository.repository import Repository

repository, seen, looks = Repository(Path(sys.argv[1])), 0, 0
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


def test_a_reader_never_sees_half_a_version(repository: Repository) -> None:
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


def test_publishers_at_once_get_versions_of_their_own(repository: Repository) -> None:
    code = """
import sys
from pathlib import Path
from service.repository.repository import Repository

sys.stdin.readline()
repository, name = Repository(Path(sys.argv[1])), sys.argv[2]
for _ in range(10):
    print(repository.publish("digits", lambda version: f"{name} {version}".encode(), {"by": name}))
"""
    publishers = {name: python(code, repository.root, name) for name in ("one", "two")}
    for process in publishers.values():
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {name: process.communicate(timeout=60) for name, process in publishers.items()}
    versions = {name: list(map(int, out.split())) for name, (out, _) in said.items()}
    assert sorted(versions["one"] + versions["two"]) == list(range(1, 21)), said
    assert repository.versions("digits") == list(range(1, 21))
    for name, published in versions.items():
        for version in published:
            assert repository.card("digits", version)["by"] == name
            assert repository.model_bytes("digits", version) == f"{name} {version}".encode()


def test_a_repository_that_may_only_be_read_is_enough(repository: Repository) -> None:
    publish(repository)
    repository.promote("digits", 1)
    before = sorted((path, path.stat().st_mtime_ns) for path in repository.root.rglob("*"))
    assert repository.model_bytes("digits", repository.current("digits")) == b"onnx 1"
    assert repository.names() == ["digits"]
    assert sorted((path, path.stat().st_mtime_ns) for path in repository.root.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(repository: Repository) -> None:
    publish(repository)
    repository.promote("digits", 1)
    (repository.root / "digits/current").chmod(0)
    with pytest.raises(ModelBroken, match="permissions"):
        repository.current("digits")
