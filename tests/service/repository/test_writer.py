"""Writing the model repository: whole versions or none, whatever else writes or dies at the same time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Conflict, DigitsError, InvalidValue, NoSuchModel
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.repositories import publish, python


def test_a_card_cannot_lie_about_what_the_repository_knows(repository: RepositoryWriter) -> None:
    lies = {"name": "other", "version": 9, "sha256": "0", "created": "never", "metrics": {"accuracy": 0.99}}
    repository.publish("digits", lambda _: b"onnx", lies)
    card = repository.card("digits", 1)
    assert (card["name"], card["version"]) == ("digits", 1)
    assert repository.model_bytes("digits", 1) == b"onnx"
    assert card["created"] != "never"
    assert card["metrics"] == {"accuracy": 0.99}


def test_promote_and_rollback_walk_back_along_what_was_served(repository: RepositoryWriter) -> None:
    for _ in range(4):
        publish(repository)
    for version in (1, 2, 4, 3):
        repository.promote("digits", version)
    assert [repository.rollback("digits") for _ in range(3)] == [4, 2, 1]
    assert repository.current("digits") == 1
    with pytest.raises(NoSuchModel, match="promote one"):
        repository.rollback("digits")
    assert repository.current("digits") == 1


def test_rollback_goes_back_again_to_a_version_served_twice(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    for version in (1, 2, 1):
        repository.promote("digits", version)
    assert repository.rollback("digits") == 2
    assert repository.rollback("digits") == 1


def test_promoting_what_is_served_changes_nothing(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    for version in (1, 2, 2, 2):
        repository.promote("digits", version)
    assert repository.rollback("digits") == 1


def test_promoting_after_a_rollback_starts_from_there(repository: RepositoryWriter) -> None:
    for _ in range(3):
        publish(repository)
    for version in (1, 2):
        repository.promote("digits", version)
    repository.rollback("digits")
    repository.promote("digits", 3)
    assert repository.rollback("digits") == 1


def test_rollback_passes_over_versions_that_are_gone(repository: RepositoryWriter) -> None:
    for version in (1, 2, 3):
        publish(repository)
        repository.promote("digits", version)
    (repository.root / "digits/2/model.onnx").unlink()
    assert repository.rollback("digits") == 1


@settings(max_examples=25)
@given(st.lists(st.one_of(st.integers(1, 4), st.just("back")), max_size=12))
def test_any_walk_is_a_stack(tmp_path_factory: pytest.TempPathFactory, walk: list[int | str]) -> None:
    repository = RepositoryWriter(tmp_path_factory.mktemp("walk"))
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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"latest\n1\n", b"\0", "١\n".encode()])
def test_garbage_in_previous_stops_nobody(repository: RepositoryWriter, content: bytes) -> None:
    for version in (1, 2):
        publish(repository)
        repository.promote("digits", version)
    publish(repository)
    (repository.root / "digits/previous").write_bytes(content)
    repository.promote("digits", 3)
    assert repository.rollback("digits") == 2


def test_half_a_version_is_not_promoted(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/2").mkdir()
    (repository.root / "digits/2/model.onnx").write_bytes(b"no card beside it")
    repository.promote("digits", 1)
    with pytest.raises(DigitsError):
        repository.promote("digits", 2)
    assert repository.current("digits") == 1


# -- pruning ----------------------------------------------------------------------------------------------------


def test_pruning_keeps_the_newest_the_served_and_the_version_of_a_rollout(repository: RepositoryWriter) -> None:
    for _ in range(7):
        publish(repository)
    repository.promote("digits", 1)
    repository.start_rollout("digits", RolloutPlan(3, percent=5))
    assert repository.prune("digits", keep=2) == [2, 4, 5]
    assert repository.versions("digits") == [1, 3, 6, 7]
    assert repository.prune("digits", keep=2) == []
    assert publish(repository) == 8
    assert not [entry for entry in os.listdir(repository.root / "digits") if "removing" in entry]


def test_rollback_passes_over_pruned_versions(repository: RepositoryWriter) -> None:
    for version in (1, 2, 3, 2, 3):
        if version > len(repository.versions("digits")):
            publish(repository)
        repository.promote("digits", version)
    assert repository.prune("digits", keep=1) == [1, 2]
    with pytest.raises(NoSuchModel, match="promote one"):
        repository.rollback("digits")
    assert repository.current("digits") == 3


@pytest.mark.parametrize("keep", [0, -1])
def test_pruning_keeps_at_least_one_version(repository: RepositoryWriter, keep: int) -> None:
    publish(repository)
    with pytest.raises(InvalidValue, match="at least one"):
        repository.prune("digits", keep)
    assert repository.versions("digits") == [1]


# -- rollouts ---------------------------------------------------------------------------------------------------


def test_a_rollout_is_stored_and_ended_once(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    repository.promote("digits", 1)
    plan = RolloutPlan(2, percent=12.5, max_errors=0.1)
    repository.start_rollout("digits", plan)
    assert repository.rollout("digits") == plan
    assert repository.labels("digits") == {"stable": 1, "canary": 2}
    assert not repository.end_rollout("digits", RolloutPlan(2), "promoted: by another")
    assert repository.end_rollout("digits", plan, "rolled back: for a reason")
    assert not repository.end_rollout("digits", plan, "promoted: too late")
    assert repository.rollout("digits") is None
    assert repository.current("digits") == 1
    ended = repository.last_rollout("digits")
    assert ended
    assert (ended["version"], ended["verdict"]) == (2, "rolled back: for a reason")


def test_a_rollout_whose_plan_is_left_after_its_verdict_is_over(repository: RepositoryWriter) -> None:
    """As a writer leaves it that is killed between the two."""
    for _ in range(2):
        publish(repository)
    repository.promote("digits", 1)
    plan = RolloutPlan(2, percent=5)
    repository.start_rollout("digits", plan)
    stored = (repository.root / "digits" / "trial.json").read_bytes()
    assert repository.end_rollout("digits", plan, "rolled back: for a reason")
    (repository.root / "digits" / "trial.json").write_bytes(stored)
    assert repository.rollout("digits") is None
    assert not repository.end_rollout("digits", plan, "promoted: too late")
    again = RolloutPlan(2, percent=5)
    repository.start_rollout("digits", again)
    assert repository.rollout("digits") == again


def test_a_promoted_rollout_can_be_rolled_back(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    repository.promote("digits", 1)
    plan = RolloutPlan(2, percent=5)
    repository.start_rollout("digits", plan)
    assert repository.end_rollout("digits", plan, "promoted: alike")
    assert repository.current("digits") == 2
    assert repository.rollback("digits") == 1


def test_what_cannot_be_rolled_out(repository: RepositoryWriter) -> None:
    publish(repository)
    with pytest.raises(NoSuchModel, match="promote"):
        repository.start_rollout("digits", RolloutPlan(1))
    repository.promote("digits", 1)
    with pytest.raises(InvalidValue, match="the served one"):
        repository.start_rollout("digits", RolloutPlan(1))
    with pytest.raises(NoSuchModel, match="no version 2"):
        repository.start_rollout("digits", RolloutPlan(2))
    assert repository.rollout("digits") is None


def test_a_shadow_has_no_label(repository: RepositoryWriter) -> None:
    for _ in range(2):
        publish(repository)
    repository.promote("digits", 1)
    repository.start_rollout("digits", RolloutPlan(2, shadow=True))
    assert repository.labels("digits") == {"stable": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_a_conflict(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/.lock").chmod(0o400)
    with pytest.raises(Conflict, match="cannot be written"):
        repository.promote("digits", 1)


def test_a_lock_that_cannot_be_opened_is_a_conflict(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/.lock").unlink()
    (repository.root / "digits/.lock").mkdir()
    with pytest.raises(Conflict, match="cannot be written"):
        repository.promote("digits", 1)


# -- a publisher that fails or dies -----------------------------------------------------------------------------


def test_a_model_that_cannot_be_made_leaves_nothing(repository: RepositoryWriter) -> None:
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
from service.repository.writer import RepositoryWriter

flushes, last = 0, int(sys.argv[3])
flush = os.fsync

def dying(handle):
    global flushes
    flushes += 1
    if flushes == last:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(handle)

os.fsync = dying
repository = RepositoryWriter(Path(sys.argv[1]))
if sys.argv[2] == "publish":
    repository.publish("digits", lambda version: b"onnx %d" % version, {})
elif sys.argv[2] == "promote":
    repository.promote("digits", 3)
else:
    repository.rollback("digits")
print(flushes)
"""


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_a_publisher_killed_at_any_flush_leaves_a_whole_version_or_none(
    repository: RepositoryWriter, last: int
) -> None:
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


@pytest.mark.parametrize("last", [1, 2, 3, 4])
@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_promotion_killed_at_any_flush_is_done_or_not_begun(
    repository: RepositoryWriter, what: str, last: int
) -> None:
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


def test_a_publisher_killed_while_it_makes_the_model_holds_nobody_up(repository: RepositoryWriter) -> None:
    publish(repository)
    process = python(
        """
import sys
from pathlib import Path
from service.repository.writer import RepositoryWriter

def slow(version):
    print("making", flush=True)
    sys.stdin.read()

RepositoryWriter(Path(sys.argv[1])).publish("digits", slow, {})
""",
        repository.root,
    )
    assert process.stdout
    assert process.stdout.readline() == "making\n"
    assert repository.versions("digits") == [1]
    process.kill()
    process.communicate(timeout=60)
    assert publish(repository) == 2


def test_a_full_disk_leaves_nothing(repository: RepositoryWriter) -> None:
    publish(repository)
    process = python(
        """
import resource, signal, sys
from pathlib import Path
from service.errors import Conflict
from service.repository.writer import RepositoryWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
try:
    RepositoryWriter(Path(sys.argv[1])).publish("digits", lambda version: bytes(5000), {})
except Conflict as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures coverage writes a file at the end
""",
        repository.root,
    )
    sentence, errors = process.communicate(timeout=60)
    assert errors == ""
    assert sentence.startswith("The folder of digits cannot be written to (File too large)")
    assert repository.versions("digits") == [1]
    assert sorted(path.name for path in (repository.root / "digits").iterdir()) == [".lock", "1", "config.pbtxt"]


# -- several processes at once ----------------------------------------------------------------------------------


def test_publishers_at_once_get_versions_of_their_own(repository: RepositoryWriter) -> None:
    code = """
import sys
from pathlib import Path
from service.repository.writer import RepositoryWriter

sys.stdin.readline()
repository, name = RepositoryWriter(Path(sys.argv[1])), sys.argv[2]
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


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def elsewhere(path: Path) -> None:
    path.symlink_to("../../secret")


@pytest.mark.parametrize("make", [fifo, endless, elsewhere])
@pytest.mark.parametrize("file", ["previous", "config.pbtxt", "labels.txt", "trial.json", "last_trial.json", ".lock"])
def test_no_file_of_a_model_is_waited_for_or_followed_elsewhere(
    repository: RepositoryWriter, file: str, make: Callable[[Path], None]
) -> None:
    """A named pipe, a device, a link out of the repository: a writer would hang with the lock, or spoil it."""
    secret = repository.root.parent / "secret"
    secret.write_text("2\n1\n")
    for _ in range(3):
        publish(repository)
    repository.promote("digits", 1)
    path = repository.root / "digits" / file
    path.unlink(missing_ok=True)
    make(path)

    def write() -> None:
        with suppress(Conflict):  # where it cannot be written
            repository.promote("digits", 3)
            with suppress(NoSuchModel):
                repository.rollback("digits")
            repository.start_rollout("digits", RolloutPlan(2))
            repository.prune("digits", 3)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    assert secret.read_text() == "2\n1\n"
    if file != ".lock":
        assert repository.current("digits") in (1, 3)
        assert repository.rollout("digits") is not None
        assert repository.earlier("digits") in ([], [1])


def test_the_lock_of_a_model_is_no_link(repository: RepositoryWriter) -> None:
    publish(repository)
    (repository.root / "digits/.lock").unlink()
    (repository.root / "digits/.lock").symlink_to("lock")
    with pytest.raises(Conflict, match="cannot be written to here"):
        repository.promote("digits", 1)
    assert not (repository.root / "digits/lock").exists()
