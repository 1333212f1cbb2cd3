"""Files of the repository: links inside it are followed, links out of it are not, and nothing waits or grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.errors import DigitsError, ModelBroken
from service.repository import bounded_file, repository
from service.repository.bounded_file import NotInRepository, TooLarge, read_file
from service.repository.repository import Repository
from tests.support.models import publish


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path / "models")
    (tmp_path / "secret").write_text('{"password": "hunter2"}')
    return tmp_path / "models"


def replaced(path: Path, target: Path | str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("target", ["../../../secret", "absolute", "through a folder", "through another link"])
@pytest.mark.parametrize("file", ["card.json", "model.onnx"])
def test_a_link_out_of_the_repository_is_refused(root: Path, file: str, target: str) -> None:
    if target == "absolute":
        target = str(root.parent / "secret")
    elif target == "through a folder":
        (root / "outside").symlink_to(root.parent)
        target = "../../outside/secret"
    elif target == "through another link":
        (root / "digits" / "link").symlink_to("../../secret")
        target = "../link"
    replaced(root / "digits/1" / file, target)
    with pytest.raises(
        ModelBroken, match=f"The {file} of digits version 1 cannot be read: {file} is a link out of"
    ) as caught:
        Repository(root).model_bytes("digits", 1)
    assert "hunter2" not in str(caught.value)


def test_a_version_folder_outside_is_refused(root: Path) -> None:
    (root / "digits/1").rename(root.parent / "elsewhere")
    (root / "digits/1").symlink_to(root.parent / "elsewhere")
    with pytest.raises(ModelBroken, match="out of the repository"):
        Repository(root).card("digits", 1)


def test_the_folder_of_a_model_may_be_a_link_to_anywhere(root: Path) -> None:
    (root / "digits").rename(root.parent / "elsewhere")
    (root / "digits").symlink_to(root.parent / "elsewhere")
    assert Repository(root).card("digits", 1)
    assert Repository(root).current("digits") == 1
    replaced(root / "digits/1/card.json", root.parent / "secret")
    with pytest.raises(ModelBroken, match="out of the repository"):
        Repository(root).card("digits", 1)


def test_nothing_else_that_is_read_may_lead_outside(root: Path) -> None:
    (root.parent / "secret").write_text('{"version": 7, "id": "x"}')
    for name in ("current", "previous", "trial.json", "last_trial.json"):
        replaced(root / "digits" / name, root.parent / "secret")
    found = Repository(root)
    with pytest.raises(ModelBroken, match="cannot be read"):
        found.current("digits")
    assert found.earlier("digits") == []
    assert found.rollout("digits") is None
    assert found.last_rollout("digits") is None


def test_links_within_the_repository_are_followed(root: Path) -> None:
    """A version as a link to another one, files as Kubernetes projects them, and the repository itself as a link."""
    folder = root / "digits"
    data = (folder / "1/model.onnx").read_bytes()
    (folder / "2").symlink_to("1")
    (folder / "3").mkdir()
    (folder / "1").rename(folder / "3/..2026_11_26")
    (folder / "3/..data").symlink_to("..2026_11_26")
    for file in ("card.json", "model.onnx"):
        (folder / "3" / file).symlink_to(f"..data/{file}")
    (folder / "1").symlink_to("3/..data")
    (root.parent / "release").symlink_to(root)
    for at in (root, root.parent / "release"):
        found = Repository(at)
        assert found.versions("digits") == [1, 2, 3]
        assert all(found.model_bytes("digits", version) == data for version in (1, 2, 3))


def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models-old").mkdir()
    (tmp_path / "models-old/card.json").write_text("{}")
    (tmp_path / "models/card.json").symlink_to("../models-old/card.json")
    with pytest.raises(NotInRepository):
        read_file(tmp_path / "models", tmp_path / "models/card.json", 100)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "loop", "device", "nothing"):
        with pytest.raises(OSError, match=r"."):
            read_file(tmp_path, tmp_path / name, 100)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_file(tmp_path, tmp_path / "file", 100) == bytes(100)
    with pytest.raises(TooLarge, match="more than 99 bytes"):
        read_file(tmp_path, tmp_path / "file", 99)


def test_a_model_of_six_gigabytes_is_refused_without_being_read(root: Path) -> None:
    with open(root / "digits/1/model.onnx", "r+b") as file:
        file.truncate(6 * 2**30)
    with pytest.raises(DigitsError, match="more than 536,870,912 bytes"):
        Repository(root).model_bytes("digits", 1)


def test_a_card_over_the_limit_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MAX_CARD_BYTES", 100)
    with pytest.raises(ModelBroken, match=r"card\.json has more than 100 bytes"):
        Repository(root).card("digits", 1)
    assert bounded_file.MAX_CARD_BYTES >= 100 * 30_205  # a hundred times what ours have
